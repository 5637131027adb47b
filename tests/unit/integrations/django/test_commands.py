"""``manage.py sqs_worker`` and ``sqs_dev``: the options of ``sqs-tasks``, for the environment that the settings name."""

from __future__ import annotations

import sys
from typing import Any

import click
import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.test import override_settings

from sqs_tasks.cli.dev.command import dev
from sqs_tasks.cli.group import main
from sqs_tasks.cli.worker import worker
from sqs_tasks.errors import QueueNotFoundError
from tests.support import django_project

django_project.configure()

APP = "tests.support.django_shop.sqs:env"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would run: a command, its parameters, and what starts it again."""
    ran: list[Any] = []

    def invoke(ctx):
        ran.append((ctx.command.name, ctx.params, ctx.obj))

    for command in (worker, dev):
        monkeypatch.setattr(command, "invoke", invoke)
    return ran


@pytest.mark.parametrize("name", ["worker", "dev"])
def test_every_option_of_the_command_is_there(name: str) -> None:
    """Of both commands, by the same names; none collides with an option of Django's own."""
    parser = load_command_class("sqs_tasks.integrations.django", f"sqs_{name}").create_parser("manage.py", name)
    known = {word for action in parser._actions for word in action.option_strings}

    command = main.get_command(click.Context(main), name)
    assert command is not None
    wanted = {word for one in command.params if isinstance(one, click.Option) for word in one.opts}
    assert wanted - {"--help"} <= known
    assert "jobs" in parser.format_help()


def test_the_worker_gets_what_is_given(ran: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues, flags, values and repeated options; what is not given is click's, with its variables."""
    monkeypatch.setenv("SQS_TASKS_MAX_TASKS", "7")
    arguments = ["emails", "mail-*", "-c", "3", "--supervise", "--weight", "emails=3", "--weight", "mail-*=1"]

    call_command("sqs_worker", *arguments)

    ((name, params, again),) = ran
    assert name == "worker"
    assert list(params["words"]) == [APP, "emails", "mail-*"]
    assert (params["concurrency"], params["supervise"], params["max_tasks"]) == (3, True, 7)
    assert list(params["weights"]) == ["emails=3", "mail-*=1"]
    assert params["grace_seconds"] == 25
    assert again[:4] == [sys.executable, "-m", "django", "sqs_worker"]
    assert again[4:6] == ["emails", "mail-*"]
    assert "--supervise" in again


def test_keywords_do_as_well(ran: list[Any]) -> None:
    """As Django's call_command gives them."""
    call_command("sqs_dev", "emails", port=0, runtime="lambda")

    ((name, params, _),) = ran
    assert (name, params["port"], params["runtime"]) == ("dev", 0, "lambda")


def test_what_is_refused_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong options, a setting that names nothing, and what the library refuses."""
    with pytest.raises(CommandError, match="'many' is not a valid integer") as caught:
        call_command("sqs_worker", "-c", "many")
    assert caught.value.returncode == 2
    with override_settings(SQS_TASKS={}), pytest.raises(CommandError, match="must name the environment"):
        call_command("sqs_worker")

    def refuse(_ctx):
        raise QueueNotFoundError("no queue here")

    monkeypatch.setattr(worker, "invoke", refuse)
    with pytest.raises(CommandError, match="no queue here") as caught:
        call_command("sqs_worker")
    assert caught.value.returncode == 1
