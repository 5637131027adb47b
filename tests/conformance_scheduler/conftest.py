"""One suite, every EventBridge Scheduler.

    pytest tests/conformance_scheduler             # memory, http and ministack
    pytest tests/conformance_scheduler -k aws      # AWS, in your account; SQS_TASKS_TEST_ROLE_ARN names the role

Each test names the rule it holds by ``@rule``: a Z-number of the project's notes on AWS semantics, or a page of the
AWS documentation. A test asks for ``scheduling`` and runs once for each backend. Time passes by ``scheduling.wait``:
for real where the clock is the server's own, else by advancing ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance_scheduler import backends
from tests.conformance_scheduler.known_differences import MINISTACK
from tests.conformance_scheduler.scheduling import Scheduling
from tests.support.conformance import LONG_TIME_MARKER, RULE_MARKER, check_items, need_ministack


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", RULE_MARKER)
    config.addinivalue_line("markers", LONG_TIME_MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scheduling" not in metafunc.fixturenames:
        return
    names = ["memory", "http"]
    if not list(metafunc.definition.iter_markers("long_time")):
        names.append("ministack")
        if "aws" in metafunc.config.option.keyword:
            names.append("aws")
    marks = {"aws": [pytest.mark.aws]}
    metafunc.parametrize("scheduling", [pytest.param(name, marks=marks.get(name, [])) for name in names], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_items(items, folder=Path(__file__).parent, differences=MINISTACK)


@pytest.fixture(scope="session")
def ministack_scheduler() -> Iterator[backends.Backend]:
    need_ministack()
    with backends.independent() as backend:
        yield backend


@pytest.fixture(scope="session")
def http_scheduler() -> Iterator[backends.Backend]:
    with backends.http() as backend:
        yield backend


@pytest.fixture(scope="session")
def aws_scheduler() -> Iterator[backends.Backend]:
    if missing := backends.missing_for_aws():
        pytest.exit(f"the checks against AWS need {missing}", returncode=4)
    with backends.aws() as backend:
        yield backend


@pytest.fixture
def scheduling(request: pytest.FixtureRequest) -> Iterator[Scheduling]:
    """The scheduler under test."""
    backend = backends.memory() if request.param == "memory" else request.getfixturevalue(f"{request.param}_scheduler")
    yield Scheduling(backend)
    backend.clean_up()
