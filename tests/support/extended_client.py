"""Amazon's extended client for Python, without what its import does to boto3: it replaces the class of all sessions."""

from __future__ import annotations

import boto3

_session = boto3.session.Session

from sqs_extended_client import SQSExtendedClientSession  # noqa: E402

__all__ = ["SQSExtendedClientSession"]

boto3.Session = boto3.session.Session = _session
