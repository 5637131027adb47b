"""A CloudFormation or AWS SAM template in a file, JSON or YAML, and what the rules say of it.

The rules are those of ``sqs_tasks_cdk.template_rules``, in which there is no CDK.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqs_tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from sqs_tasks_cdk.template_rules.finding import Finding


def check_file(path: Path) -> list[Finding]:
    """What the rules say of the template in a file.

    Raises:
        ConfigurationError: It cannot be read, or is no template.
    """
    from sqs_tasks_cdk.template_rules.checks import check

    return check(read_template(path))


def read_template(path: Path) -> dict[str, Any]:
    """The template in a file as plain data, with short forms of functions (``!Ref``) in their long form.

    Raises:
        ConfigurationError: It cannot be read, or is no template.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error}); give the path of a template") from error
    return parse_template(text, str(path))


def parse_template(text: str, name: str) -> dict[str, Any]:
    """A template in JSON or YAML as plain data, with short forms of functions (``!Ref``) in their long form.

    Args:
        text: The template.
        name: What an error calls it.

    Raises:
        ConfigurationError: It is no template.
    """
    document = _json(text, name) if text.lstrip().startswith("{") else _yaml(text, name)
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), Mapping):
        raise ConfigurationError(
            f"{name!r} has no Resources, so it is no CloudFormation template; give the template that is deployed, "
            "such as cdk.out/<stack>.template.json"
        )
    return document


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{name!r} is not JSON ({error}); correct it") from error


def _yaml(text: str, name: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name!r} is YAML, and PyYAML is not installed; install it with: pip install 'sqs-tasks[cli]'"
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
        """Knows the short forms of intrinsic functions."""

    Loader.add_multi_constructor("!", _function)
    try:
        return yaml.load(text, Loader)  # noqa: S506  # a safe loader with functions that make plain data
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name!r} is not YAML ({error}); correct it") from error


def _function(loader: Any, name: str, node: Any) -> dict[str, Any]:
    """``!GetAtt Queue.Arn`` in its long form."""
    argument = {
        "scalar": loader.construct_scalar,
        "sequence": lambda one: loader.construct_sequence(one, deep=True),
        "mapping": lambda one: loader.construct_mapping(one, deep=True),
    }[node.id](node)
    if name == "GetAtt" and isinstance(argument, str):
        argument = argument.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": argument}
