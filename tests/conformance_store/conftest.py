"""One suite, every store.

    pytest tests/conformance_store           # SQLite and MiniStack's DynamoDB
    pytest tests/conformance_store -k aws    # DynamoDB, with your credentials: it makes a table "jobs" and leaves it

Each test names the rule it holds by ``@rule``: what the protocol or the documentation of DynamoDB says.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance_store import backends
from tests.support.conformance import RULE_MARKER, check_items, need_ministack


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", RULE_MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" not in metafunc.fixturenames:
        return
    params = [pytest.param("sqlite"), pytest.param("ministack")]
    if "aws" in metafunc.config.option.keyword:
        params.append(pytest.param("aws", marks=[pytest.mark.aws]))
    metafunc.parametrize("backend", params, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_items(items, folder=Path(__file__).parent, differences={})


@pytest.fixture(scope="session")
def ministack_endpoint() -> Iterator[str]:
    need_ministack()
    with backends.independent() as endpoint:
        yield endpoint


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[backends.Backend]:
    """The store under test."""
    if request.param == "sqlite":
        with backends.sqlite(tmp_path) as one:
            yield one
        return
    endpoint = request.getfixturevalue("ministack_endpoint") if request.param == "ministack" else ""
    with backends.dynamodb(endpoint, request.param) as one:
        yield one
