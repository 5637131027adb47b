"""One warm CDK process for all construct tests: the first template costs seconds, the others milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.node import use_for_jsii

use_for_jsii()

from aws_cdk import App, Stack  # noqa: E402  # jsii looks for Node when it is imported


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(outdir=str(tmp_path / "cdk.out"), analytics_reporting=False)


@pytest.fixture
def stack(app: App) -> Stack:
    return Stack(app, "Test")
