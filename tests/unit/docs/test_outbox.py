"""Every Python block of ``docs/outbox.md`` runs, and the job of the first one is written, relayed and worked."""

from __future__ import annotations

import re
import sys
import textwrap
import types
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from click.testing import CliRunner
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from sqs_tasks.cli.outbox.command import outbox
from sqs_tasks.testing import drain, in_memory

PAGE = Path(__file__).resolve().parents[3] / "docs" / "outbox.md"
_BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def test_the_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In one namespace, with Alembic's own ``op``."""
    monkeypatch.chdir(tmp_path)
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    scope = vars(page)
    text = PAGE.read_text(encoding="utf-8")
    for block in _BLOCK.finditer(text):
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + textwrap.dedent(block.group(2)), str(PAGE), "exec"), scope)
    engine = scope["engine"]

    with engine.begin() as connection:
        scope["op"] = Operations(MigrationContext.configure(connection))
        scope["upgrade"]()
    with in_memory(scope["env"]):
        with Session(engine) as session:
            scope["checkout"](session, 7)
        assert scope["relay"]() == 1
        drain(scope["env"])
    assert "the receipt of order 7" in capsys.readouterr().out
    with engine.begin() as connection:
        scope["op"] = Operations(MigrationContext.configure(connection))
        scope["downgrade"]()
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_the_options_that_the_page_names_exist() -> None:
    """Of each command that it shows."""
    for name, options in {
        "relay": ("--database", "--once", "--poll-seconds", "--health-port"),
        "drop": ("--all-refused",),
    }.items():
        said = CliRunner().invoke(outbox, [name, "--help"]).output
        assert [one for one in options if one not in said] == []
        assert all(one in PAGE.read_text(encoding="utf-8") for one in options)
