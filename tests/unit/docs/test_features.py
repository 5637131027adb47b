"""``docs/features.md`` names a test for each feature, and each test it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[3] / "docs"
_ROW = re.compile(r"^\| (?!feature|-)(.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_TEST = re.compile(r"\[(test_\w+)\]\((\S+?\.py)\)")


def test_every_feature_has_a_test_that_exists() -> None:
    """A test that is renamed or dropped is missed here."""
    rows = _ROW.findall((DOCS / "features.md").read_text(encoding="utf-8"))
    missing = []
    for feature, _, cell in rows:
        named = _TEST.findall(cell)
        assert named, feature
        for test, path in named:
            tree = ast.parse((DOCS / path).read_text(encoding="utf-8"))
            if test not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
                missing.append(f"{feature}: {path}::{test}")

    assert missing == []
    assert len(rows) >= 80
