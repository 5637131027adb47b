"""What AWS SAM's own transform makes of a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.public.translator import Translator


def transformed(template: Mapping[str, Any], **parameters: str) -> dict[str, Any]:
    """The CloudFormation template that is deployed in its place; raises when SAM refuses it."""
    translator = Translator({}, Parser(), None, boto3.Session(region_name="us-east-1"))
    return dict(translator.translate(dict(template), parameters))
