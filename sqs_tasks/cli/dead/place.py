"""Which letters a command is about: the queues that its words name, and the options that select."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.queue_names import queue_named
from sqs_tasks.env import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations.letter_queue import LetterQueue, letter_queues
from sqs_tasks.operations.selection import Selection

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "": 1}

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


class SelectionOptions(TypedDict):
    """What the options of :func:`selection_options` give."""

    ids: tuple[str, ...]
    tasks: tuple[str, ...]
    errors: tuple[str, ...]
    reasons: tuple[str, ...]
    older: float | None
    newer: float | None
    where: str | None
    limit: int | None


def seconds_of(text: str) -> float:
    """Seconds: a number with s, m, h or d.

    Raises:
        click.BadParameter: It is none.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} must be a number with s, m, h or d, such as 30m or 2d")
    return float(found[1]) * _UNITS[found[2]]


def selection_options(command: Command) -> Command:
    """Add the options that select letters."""
    for declare in reversed(
        (
            click.option(
                "--id", "ids", multiple=True, metavar="ID", help="Of a letter or job, or 8 characters of an end of it."
            ),
            click.option("--task", "tasks", multiple=True, metavar="NAME", help="Task, or a glob; '-' for none."),
            click.option(
                "--error", "errors", multiple=True, metavar="CLASS", help="Class of the exception, or a glob."
            ),
            click.option("--reason", "reasons", multiple=True, metavar="TEXT", help="Part of the reason."),
            click.option("--older", type=seconds_of, metavar="AGE", help="Dead for at least so long: 30m, 6h, 2d."),
            click.option("--newer", type=seconds_of, metavar="AGE", help="Dead for no longer than this."),
            click.option("--where", metavar="JMESPATH", help="True of the arguments: \"to == 'a@example.com'\"."),
            click.option("--limit", type=click.IntRange(min=1), help="At most so many letters."),
        )
    ):
        command = declare(command)
    return command


def selection_of(options: SelectionOptions) -> Selection:
    """The selection that the options make."""
    try:
        return Selection(
            ids=options["ids"],
            tasks=options["tasks"],
            errors=options["errors"],
            reasons=options["reasons"],
            older_seconds=options["older"],
            newer_seconds=options["newer"],
            where=options["where"],
            limit=options["limit"],
        )
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


def environment(words: Sequence[str]) -> tuple[SQSEnv, tuple[str, ...]]:
    """The environment and the words after it; URLs alone need no application."""
    is_app = bool(words) and ":" in words[0] and "://" not in words[0]
    if words and not is_app and APP_VARIABLE not in os.environ and all("://" in word for word in words):
        return SQSEnv(), tuple(words)
    app, rest = split_app(words)
    env = load(app)
    env.load_tasks()
    return env, rest


def queues_of(env: SQSEnv, names: Sequence[str]) -> list[LetterQueue]:
    """The dead-letter queues of these names, or all that there are."""
    try:
        found = letter_queues(env, *names)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    if not found:
        raise click.UsageError("no registered queue has a dead-letter queue; give the URL of one")
    return found


def one_queue(env: SQSEnv, names: Sequence[str], command: str) -> LetterQueue:
    """The one dead-letter queue of these names; the only one that there is needs no name."""
    found = queues_of(env, names)
    if len(found) > 1:
        known = ", ".join(one.name for one in found)
        raise click.UsageError(f"'{command}' works on one queue at a time; name one of {known}")
    return found[0]


def target_of(env: SQSEnv, name: str | None) -> str | None:
    """The URL of the queue that ``--to`` names."""
    return name if name is None or "://" in name else queue_named(env, name).queue_url
