"""One suite, every SQS.

    pytest tests/conformance                                        # memory, http, lean and ministack
    pytest tests/conformance --sqs-endpoint http://127.0.0.1:9324   # and any server you have running
    pytest tests/conformance -k aws                                 # AWS, with your credentials, in your account

The query protocol, by a boto3 that still speaks it; one test fails, for a parameter that is newer than that::

    pip install --target old-boto3 boto3==1.26.165
    PYTHONPATH=old-boto3 pytest tests/conformance -k http

Each test names the rule it holds by ``@rule``: an S-number of the project's notes on AWS semantics, or a page of the
AWS documentation. A test asks for ``sqs`` and runs once for each backend. Time passes by ``sqs.wait``: for real where
the server's clock is its own, else by advancing ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import backends
from tests.conformance.known_differences import MINISTACK
from tests.conformance.sqs import SQS
from tests.support.conformance import LONG_TIME_MARKER, RULE_MARKER, check_items, need_ministack

#: Backends whose clock can be moved: tests of minutes and days run on these.
WITH_CLOCK = ("memory", "http")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sqs-endpoint", help="Hold the conformance suite against this SQS server too.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", RULE_MARKER)
    config.addinivalue_line("markers", "wall_clock: the test looks at real time")
    config.addinivalue_line("markers", "over_http: the test is about HTTP, so the model in memory has no part in it")
    config.addinivalue_line("markers", LONG_TIME_MARKER)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sqs" not in metafunc.fixturenames:
        return
    names = ["http"] if list(metafunc.definition.iter_markers("over_http")) else ["memory", "http"]
    if len(names) > 1 and not list(metafunc.definition.iter_markers("wall_clock")):
        names.append("lean")
    if not list(metafunc.definition.iter_markers("long_time")):
        names.append("ministack")
        if metafunc.config.getoption("sqs_endpoint", None):
            names.append("endpoint")
        if "aws" in metafunc.config.option.keyword:
            names.append("aws")
    marks = {"aws": [pytest.mark.aws]}
    metafunc.parametrize("sqs", [pytest.param(name, marks=marks.get(name, [])) for name in names], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_items(items, folder=Path(__file__).parent, differences=MINISTACK)


@pytest.fixture(scope="session")
def ministack_backend() -> Iterator[backends.Backend]:
    need_ministack()
    with backends.independent() as backend:
        yield backend


@pytest.fixture(scope="session")
def http_backend() -> Iterator[backends.Backend]:
    with backends.http(wall_clock=False) as backend:
        yield backend


@pytest.fixture(scope="session")
def lean_backend() -> Iterator[backends.Backend]:
    with backends.lean() as backend:
        yield backend


@pytest.fixture(scope="session")
def http_wall_clock_backend() -> Iterator[backends.Backend]:
    with backends.http(wall_clock=True) as backend:
        yield backend


@pytest.fixture(scope="session")
def endpoint_backend(pytestconfig: pytest.Config) -> Iterator[backends.Backend]:
    with backends.endpoint(pytestconfig.getoption("sqs_endpoint")) as backend:
        yield backend


@pytest.fixture(scope="session")
def aws_backend() -> Iterator[backends.Backend]:
    if missing := backends.missing_for_aws():
        # Once and for all, not an error for each check.
        pytest.exit(f"the checks against AWS need {missing}: log in, or set AWS_PROFILE and AWS_REGION", returncode=4)
    with backends.aws() as backend:
        yield backend


@pytest.fixture
def sqs(request: pytest.FixtureRequest) -> Iterator[SQS]:
    """The SQS under test."""
    wall_clock = request.node.get_closest_marker("wall_clock") is not None
    if request.param == "memory":
        backend = backends.memory(wall_clock=wall_clock)
    elif request.param == "http" and wall_clock:
        backend = request.getfixturevalue("http_wall_clock_backend")
    else:
        backend = request.getfixturevalue(f"{request.param}_backend")
    yield SQS(backend)
    backend.clean_up()
