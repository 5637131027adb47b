"""What the conformance suites of AWS's services have in common: rules to name, differences to know, MiniStack to have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.support.ministack import is_installed

RULE_MARKER = "rule(*names): the rules of AWS that a conformance test holds"
LONG_TIME_MARKER = "long_time: minutes or more pass, so only a clock that can be moved will do"


def check_items(items: Iterable[pytest.Item], *, folder: Path, differences: Mapping[str, str]) -> None:
    """Refuse tests of a folder that name no rule, and expect those to fail on MiniStack that are known to.

    Args:
        items: What pytest collected.
        folder: The folder of the suite.
        differences: Why a test fails on MiniStack, by its name, with or without its other parameters.
    """
    for item in items:
        if item.path.parent != folder:
            continue
        if not list(item.iter_markers("rule")):
            raise pytest.UsageError(f"{item.nodeid} names no rule; decorate it with @rule")
        if isinstance(item, pytest.Function) and "[ministack" in item.name:
            test = item.name.replace("[ministack-", "[").replace("[ministack]", "")
            reason = differences.get(test) or differences.get(item.originalname)
            if reason:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def need_ministack() -> None:
    """Skip the test where no MiniStack is installed; in CI it fails."""
    if not is_installed():
        text = "MiniStack is not installed; see tests/support/ministack.py"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
