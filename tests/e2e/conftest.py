"""One emulator, bootstrapped once, for all deploys."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.node import use_for_jsii

use_for_jsii()

from tests.support import cdk_cli, ministack  # noqa: E402  # jsii looks for Node when it is imported
from tests.support.cdk_cli import CdkCli  # noqa: E402
from tests.support.deploying import ACCOUNT  # noqa: E402
from tests.support.ministack import MiniStack  # noqa: E402

MakeCdk = Callable[[str, dict[str, str]], CdkCli]


def _needed(is_there: bool, what: str) -> None:
    """A missing tool is a skip at home and a failure where the build is decided."""
    if not is_there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is not installed; 'make test' installs it")


@pytest.fixture(scope="session")
def aws() -> Iterator[MiniStack]:
    """An account of its own."""
    _needed(ministack.is_installed(), "MiniStack")
    with ministack.ministack() as server:
        yield server


@pytest.fixture(scope="session")
def cdk(aws: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> MakeCdk:
    """Makes a command line for an app, in the bootstrapped account."""
    _needed(cdk_cli.is_installed(), "the CDK command line")
    home: Path = tmp_path_factory.mktemp("cdk")

    def make(app: str, context: dict[str, str]) -> CdkCli:
        return CdkCli(app=app, home=home, environment=aws.environment, context=context)

    program = 'import aws_cdk as cdk; app = cdk.App(); cdk.Stack(app, "Any"); app.synth()'
    make(f"{sys.executable} -c '{program}'", {}).run("bootstrap", f"aws://{ACCOUNT}/{ministack.REGION}")
    return make
