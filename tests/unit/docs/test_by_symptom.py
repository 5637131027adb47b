"""``docs/by-symptom.md`` names what is there: kinds of findings, commands with their options, options of tasks and queues."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sqs_tasks.cli.main import main
from sqs_tasks.settings import QueueOptions, TaskOptions

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "by-symptom.md").read_text(encoding="utf-8")


def test_findings_of_the_doctor_exist() -> None:
    """Each kind that the doctor is said to report is in its table."""
    kinds = {kind for said in re.findall(r"`doctor` says ([^|]*)", PAGE) for kind in re.findall(r"`([a-z-]+)`", said)}

    assert kinds
    table = (DOCS / "doctor.md").read_text(encoding="utf-8")
    assert kinds - set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == set()


@pytest.mark.parametrize("words", sorted(set(re.findall(r"sqs-tasks ((?:[a-z]+ ?)+(?:APP)?(?: --[a-z]+)*)", PAGE))))
def test_commands_exist(words: str) -> None:
    """With the options that follow them."""
    command: click.Command = main
    for word in words.replace("APP", "").split():
        if word.startswith("--"):
            assert word in {name for option in command.params for name in option.opts}
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            assert found is not None, word
            command = found


def test_options_exist() -> None:
    """Those of tasks and queues, as ``timeout=``."""
    known = {*TaskOptions.__annotations__, *QueueOptions.__annotations__, "include", "timezone", "late_seconds"}

    assert set(re.findall(r"`(\w+)=", PAGE)) - known == set()
