"""Every Python block of ``docs/tasks.md`` runs, from top to bottom."""

from __future__ import annotations

import re
import sys
import types
from contextlib import nullcontext
from pathlib import Path

import pytest

from sqs_tasks.client import ClientProvider
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.memory import MemorySession

PAGE = Path(__file__).resolve().parents[3] / "docs" / "tasks.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_blocks_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In one namespace, over queues in memory, with a stand-in for Flask."""
    memory = MemorySession(ManualClock())
    monkeypatch.setattr(ClientProvider, "_make", lambda self: memory.client("sqs"))
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    scope = vars(page)
    scope["flask_app"] = types.SimpleNamespace(app_context=nullcontext)
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))

    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), str(PAGE), "exec"), scope)

    printed = capsys.readouterr().out
    assert len(blocks) >= 14
    assert printed.count("Welcome to a@example.com") == 1
    assert "login 7" in printed
    assert "emails send_email Succeeded" in printed
