"""The application that a command works on: found by name, its own errors shown as they are."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

import click

from sqs_tasks import app_path
from sqs_tasks.app_path import APP_VARIABLE, load_app
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError


def split_app(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """APP and the words after it; APP may be left out when SQS_TASKS_APP has it.

    Raises:
        click.UsageError: There is no APP in either place, or it is not ``module:attribute``.
    """
    first, rest = (words[0], tuple(words[1:])) if words else ("", ())
    # No queue's name has a colon, and a URL has two slashes after it: there is no doubt what the first word is.
    if ":" in first and "://" not in first:
        return first, rest
    known = os.environ.get(APP_VARIABLE)
    if known is None:
        seen = f"{first!r} is not" if first else "there is none"
        raise click.UsageError(
            f"APP must be module:attribute, for example myapp.tasks:env, and {seen}; or set {APP_VARIABLE}"
        )
    if ":" not in known:
        raise click.UsageError(f"{APP_VARIABLE}={known!r} must be module:attribute, for example myapp.tasks:env")
    return known, tuple(words)


def load(app: str) -> SQSEnv:
    """The environment of that name; the current directory is searched, as ``python -m`` does.

    What the application's own code raises while it is imported is printed with the lines it happened in.

    Raises:
        click.ClickException: It cannot be loaded.
    """
    here = str(os.getcwd())  # noqa: PTH109 - sys.path holds strings
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)
    try:
        return load_app(app)
    except ConfigurationError:
        raise
    except Exception as error:
        theirs = _frames_outside_importing(error.__traceback__)
        click.echo("".join(traceback.format_exception(type(error), error, theirs)), err=True, nl=False)
        raise click.ClickException(f"cannot load {app}: {type(error).__name__}: {error}") from error


def check_has_tasks(env: SQSEnv, app: str) -> None:
    """Refuse a registry without any task: the modules that register them were not imported.

    Args:
        env: The environment.
        app: Its name.

    Raises:
        ConfigurationError: No queue has a task.
    """
    if any(queue.tasks for queue in env.queues.values()):
        return
    found = f"its queues {', '.join(env.queues)} have none" if env.queues else "it has no queue either"
    raise ConfigurationError(
        f"{app} has no task: {found}; import the modules that register your tasks in the module of {app}, or name the "
        "one that imports them"
    )


def names_nothing(error: BaseException) -> bool:
    """Whether this error of :func:`load` is about the name: none of the application's own lines raised it."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return (
        isinstance(error, ConfigurationError)
        and last is not None
        and last.tb_frame.f_code.co_filename == app_path.__file__
    )


def _frames_outside_importing(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the application's first line on; None when none of its lines ran, as with a syntax error."""
    start = trace
    while start is not None and _is_importing(start.tb_frame.f_code.co_filename):
        start = start.tb_next
    return start


def _is_importing(filename: str) -> bool:
    return "importlib" in filename or os.path.dirname(filename) in _OURS  # noqa: PTH120 - of frozen modules too


_OURS = frozenset({os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))})  # noqa: PTH120
