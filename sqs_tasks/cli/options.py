"""How the command line declares an option: once, with its environment variable and what the help shows of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Declaration = Callable[[Command], Command]

#: What every variable of the command line begins with.
VARIABLE_PREFIX = "SQS_TASKS_"

LogFormat = Literal["text", "json"]


def option(*names: str, **attributes: Any) -> Declaration[Any]:
    """An option that only the command line gives; its default, if it has one, is in the help."""
    return click.option(*names, **{"show_default": True, **attributes})


def setting(*names: str, **attributes: Any) -> Declaration[Any]:
    """An option that an environment variable gives too: ``--max-tasks`` is ``SQS_TASKS_MAX_TASKS``.

    Variables suit containers, whose command stands in an image. The command line wins over the variable.

    Args:
        *names: As for ``click.option``; the variable is named after the first that begins with two hyphens.
        **attributes: What else ``click.option`` takes.
    """
    return option(*names, envvar=variable_of(*names), show_envvar=True, **attributes)


def variable_of(*names: str) -> str:
    """The environment variable of an option with these names."""
    long = next(name for name in names if name.startswith("--"))
    return VARIABLE_PREFIX + long.removeprefix("--").replace("-", "_").upper()


def log_level(declare: Callable[..., Declaration[Any]], *, more: str = "") -> Declaration[Any]:
    """``--log-level``, as a :func:`setting` or an :func:`option`."""
    levels = click.Choice(["debug", "info", "warning", "error"], case_sensitive=False)
    return declare("--log-level", type=levels, default="info", help=f"The lowest level that is logged{more}.")


def log_format(declare: Callable[..., Declaration[Any]], *, help_text: str) -> Declaration[Any]:
    """``--log-format``, as a :func:`setting` or an :func:`option`."""
    return declare("--log-format", type=click.Choice(["text", "json"]), default="text", help=help_text)
