"""A command of ``sqs-tasks`` as one of ``manage.py``: the same options, read from its declaration, and the same run."""

from __future__ import annotations

import sys
from argparse import SUPPRESS
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.integrations.django.project import app_of_settings


class ClickCommand(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Has each option of a command of ``sqs-tasks``, by the same name; click checks what is given.

    Attributes:
        name: The command's name there.
    """

    name: str

    def add_arguments(self, parser: Any) -> None:
        """Declare the options as click knows them."""
        parser.add_argument("words", nargs="*", metavar="QUEUE", help="A queue's name or pattern; by default all.")
        for one in self._options():
            attributes: dict[str, Any] = {"action": "store_true"} if one.is_flag else {}
            if one.multiple:
                attributes = {"action": "append"}
            if not one.is_flag:
                attributes["metavar"] = one.metavar or one.opts[-1].lstrip("-").upper().replace("-", "_")
            # What is not given is left to click, which looks at environment variables and has the defaults.
            parser.add_argument(
                *one.opts, dest=one.name, default=SUPPRESS, help=(one.help or "").replace("%", "%%"), **attributes
            )

    def handle(self, *, words: Sequence[str], **given: Any) -> None:
        """Run the command.

        Raises:
            CommandError: What it refuses, in one line.
        """
        import click

        from sqs_tasks.cli.group import main

        try:
            arguments = [self.name, app_of_settings(), *words, *self._given(given)]
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        try:
            main.main(arguments, prog_name="sqs-tasks", standalone_mode=False, obj=self._again(words, given))
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error

    def _options(self) -> Sequence[Any]:
        try:
            import click

            from sqs_tasks.cli.group import main
        except ModuleNotFoundError as error:
            raise CommandError(
                f"this command needs {error.name}; install it with: pip install 'sqs-tasks[cli]'"
            ) from error
        command = main.get_command(click.Context(main), self.name)
        return [one for one in command.params if isinstance(one, click.Option)] if command else []

    def _given(self, given: dict[str, Any]) -> Iterator[str]:
        """The options that were given, as words."""
        for one in self._options():
            value = given.get(one.name or "")
            if value is None or value is False:
                continue
            for each in value if isinstance(value, (list, tuple)) else (value,):
                yield from (one.opts[-1],) if one.is_flag else (one.opts[-1], str(each))

    def _again(self, words: Sequence[str], given: dict[str, Any]) -> list[str]:
        """What starts this command once more in another process: for ``--processes``."""
        if self._called_from_command_line:
            return [sys.executable, *sys.argv]
        return [sys.executable, "-m", "django", f"sqs_{self.name}", *words, *self._given(given)]
