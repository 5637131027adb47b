"""Finding the environment that ``module:attribute`` names: for the command line and for the deployed function."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError

#: Where the deployed function finds its environment.
APP_VARIABLE = "SQS_TASKS_APP"


def load_app(path: str | None = None) -> SQSEnv:
    """Import the module and return the environment it holds, with the modules of its ``include`` imported.

    Args:
        path: As for :func:`find_app`.

    Raises:
        ConfigurationError: The same; or ``include`` names what does not exist.
    """
    found = find_app(path)
    found.load_tasks()
    return found


def find_app(path: str | None = None) -> SQSEnv:
    """Import the module and return the environment it holds, whose tasks may not be registered yet.

    The name comes from the command line or the function's configuration, never from a message.

    Args:
        path: ``module:attribute``, for example ``myapp.tasks:env``; None takes SQS_TASKS_APP.

    Raises:
        ConfigurationError: There is no such module or attribute, or it is no SQSEnv. An error inside the module is
            raised as it is.
    """
    chosen = path or os.environ.get(APP_VARIABLE)
    if not chosen:
        raise ConfigurationError(f"no application named; set {APP_VARIABLE}=module:attribute, e.g. myapp.tasks:env")
    module_name, colon, attribute = chosen.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigurationError(f"application {chosen!r} must be module:attribute, e.g. myapp.tasks:env")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Missing itself, or does its own import fail? The second is the author's to see as it is.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"application {chosen!r}: there is no module {error.name!r} on {_search_path()}; "
            "run from the project's root, or set PYTHONPATH"
        ) from error
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ConfigurationError(f"application {chosen!r}: {module_name} has no {attribute!r}") from None
    if not isinstance(found, SQSEnv):
        raise ConfigurationError(f"application {chosen!r} is a {type(found).__name__}, not an SQSEnv")
    return found


def _search_path() -> str:
    return ", ".join(repr(entry or ".") for entry in sys.path[:3]) + ", ..."
