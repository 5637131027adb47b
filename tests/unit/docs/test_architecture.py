"""``docs/architecture.md`` names files that exist and has the decisions that code cites; its tree is held by test_structure."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("sqs_tasks", "sqs_tasks_cdk")

_FILE = re.compile(r"[\w/]+\.py\b|\b[\w/]+/(?=[<\"`,. )])")
_CITATION = re.compile(r"\(architecture, decision (\d+)\)")


def test_files_that_the_page_names_exist():
    """Names in the diagram and in the text are those of files and folders, below the root or the package."""
    named = set(_FILE.findall(PAGE))

    missing = {name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "sqs_tasks"))}

    assert missing == set()
    assert len(named) > 40, "the expression still finds them"


def test_decisions_that_code_cites_are_on_the_page():
    """A reader who meets "decision 2" finds it."""
    decisions = set(re.findall(r'<a id="decision-(\d+)">', PAGE))
    sources = [path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py")]
    cited = {number for path in sources for number in _CITATION.findall(path.read_text(encoding="utf-8"))}

    assert {"2", "4", "6"} <= cited <= decisions
