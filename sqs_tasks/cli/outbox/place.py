"""Where the outbox is: the option for its database, whose password is in no list of processes and in no log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from sqs_tasks.errors import ConfigurationError, described
from sqs_tasks.transactions.outbox.database import Database
from sqs_tasks.transactions.outbox.stored_rows import StoredRows

Command = TypeVar("Command", bound=Callable[..., Any])

#: Where the URL is read from, so that its password need not be an argument.
DATABASE_VARIABLE = "SQS_TASKS_OUTBOX_DATABASE_URL"

#: What a database of Django's settings is called by.
_DJANGO = "django:"


def database_option(command: Command) -> Command:
    """Add ``--database``."""
    add = click.option(
        "--database",
        envvar=DATABASE_VARIABLE,
        show_envvar=True,
        required=True,
        callback=_without_password,
        help="Where the table is: a URL of SQLAlchemy, or django:ALIAS for a database of Django's settings. A URL with "
        "a password is taken from the variable alone.",
    )
    return add(command)


def _without_password(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    is_typed = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    if is_typed and not value.startswith(_DJANGO) and _has_password(value):
        raise click.BadParameter(
            f"the URL has a password, which everybody on this machine sees in the list of processes; set "
            f"{DATABASE_VARIABLE} to it, or leave the password to PGPASSWORD or to a file of passwords"
        )
    return value


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password=" in parts.query
    except ValueError:
        return True  # nobody can say


def prepare_django(place: str) -> None:
    """Set up Django where its settings have the database: before the application is imported, which needs its models.

    Raises:
        click.UsageError: Nobody says where the settings are.
    """
    if not place.startswith(_DJANGO):
        return
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise click.UsageError(
            f"--database {place} is a database of Django's settings, and DJANGO_SETTINGS_MODULE does not say where "
            "they are; set it, or give a URL of SQLAlchemy"
        )
    import sys

    here = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)
    import django

    django.setup()


def database_of(place: str) -> Database:
    """The database.

    Raises:
        ConfigurationError: There is none there, or SQLAlchemy is not installed.
    """
    if place.startswith(_DJANGO):
        from sqs_tasks.transactions.outbox.django_database import DjangoDatabase

        return DjangoDatabase(place.removeprefix(_DJANGO) or "default")
    try:
        from sqs_tasks.transactions.outbox.sqlalchemy_database import database_at
    except ImportError as error:
        raise ConfigurationError(
            f"the outbox needs {error.name}; install it with: pip install 'sqs-tasks[outbox]', and your database's "
            "driver, such as psycopg"
        ) from error
    return database_at(place)


@contextmanager
def stored_rows(place: str) -> Iterator[StoredRows]:
    """The rows, for commands that look and repair; what the database refuses becomes one line."""
    prepare_django(place)
    stored = StoredRows(database_of(place), time.time)
    with one_line_for_failures():
        yield stored


@contextmanager
def one_line_for_failures() -> Iterator[None]:
    """What a database refuses, in one line and in its own words; those of SQLAlchemy would quote values."""
    try:
        yield
    except Exception as error:
        kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
        if kinds.isdisjoint({"sqlalchemy.SQLAlchemyError", "django.Error"}):
            raise
        why = described(getattr(error, "orig", None) or error)
        raise click.ClickException(f"the outbox cannot be read: {why}") from error
