"""Which client makes the requests, and why."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.transport.lean_client import LeanClient
from sqs_tasks.transport.lean_settings import _CHANGES_BOTOCORE, LeanSettings, lean_settings

PLAIN = {"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": "/nowhere"}


@pytest.fixture(autouse=True)
def no_tracers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process have imported changes nothing here."""
    for name in _CHANGES_BOTOCORE:
        monkeypatch.delitem(sys.modules, name, raising=False)


def settings(config: dict[str, Any] | None = None, endpoint_url: str | None = None, **variables: str) -> Any:
    return lean_settings(config or {}, endpoint_url=endpoint_url, region_name=None, variables={**PLAIN, **variables})


def test_what_boto3_would_read_is_read() -> None:
    """Region, endpoint, times, tries, certificates and the application's id."""
    assert settings() == LeanSettings(region="eu-west-1")
    assert settings(
        {"connect_timeout": 1, "read_timeout": 2, "max_pool_connections": 3, "retries": {"max_attempts": 4}},
        AWS_DEFAULT_REGION="us-east-2",
        AWS_ENDPOINT_URL="http://other",
        AWS_ENDPOINT_URL_SQS="http://127.0.0.1:9324",
        AWS_CA_BUNDLE="/etc/ca.pem",
        AWS_SDK_UA_APP_ID="shop",
    ) == LeanSettings(
        region="us-east-2",
        endpoint_url="http://127.0.0.1:9324",
        connect_timeout=1,
        read_timeout=2,
        max_pool_connections=3,
        max_attempts=5,
        ca_bundle="/etc/ca.pem",
        app_id="shop",
    )
    assert settings({"retries": {"total_max_attempts": 2}}).max_attempts == 2
    assert settings(AWS_ENDPOINT_URL="http://other", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true").endpoint_url is None


@pytest.mark.parametrize(
    ("config", "variables", "reason"),
    [
        ({"proxies": {"https": "http://proxy"}}, {}, "client_config has proxies"),
        ({"retries": {"mode": "adaptive"}}, {}, "the retry mode is adaptive"),
        ({"retries": {"quota": 2}}, {}, "client_config's retries have quota"),
        ({}, {"AWS_USE_FIPS_ENDPOINT": "true"}, "AWS_USE_FIPS_ENDPOINT is set"),
        ({}, {"HTTPS_PROXY": "http://proxy"}, "HTTPS_PROXY is set"),
        ({}, {"AWS_PROFILE": "dev"}, "AWS_PROFILE is set"),
        ({}, {"AWS_CONFIG_FILE": __file__}, "there is a configuration file"),
        ({}, {"AWS_REGION": "us-iso-east-1"}, "the region is us-iso-east-1"),
        ({}, {"AWS_REGION": ""}, "no region is set"),
        ({}, {"AWS_ENDPOINT_URL": "https://host/path"}, "the endpoint's URL has more"),
    ],
)
def test_what_the_lean_client_does_not_have_is_boto3s(
    config: dict[str, Any], variables: dict[str, str], reason: str
) -> None:
    """The reason is a text that a person can act on."""
    assert settings(config, **variables).startswith(reason)


def test_a_tracer_that_changes_botocore_sees_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """X-Ray and the like wrap botocore's calls: to go round them would lose traces in silence."""
    monkeypatch.setitem(sys.modules, "aws_xray_sdk", SimpleNamespace())

    assert settings() == "aws_xray_sdk changes botocore's clients"


def test_a_double_in_botocores_place_gets_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application's tests that replace botocore's call must not reach AWS by another way."""
    assert settings() == LeanSettings(region="eu-west-1")
    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", lambda *_: {})

    assert settings() == "botocore's BaseClient._make_api_call has been replaced"


def client_of(**options: Any) -> Any:
    client = SQSEnv(**{"region_name": "us-east-1", **options}).client()
    return getattr(client, "_client", client)


def test_the_lean_client_is_taken_where_it_can_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the code, or a variable, says boto3; a session, or another setting, says it too."""
    monkeypatch.delenv("SQS_TASKS_CLIENT", raising=False)
    assert isinstance(client_of(), LeanClient)
    assert isinstance(client_of(session=boto3), LeanClient)
    assert not isinstance(client_of(client="boto3"), LeanClient)
    assert not isinstance(client_of(session=boto3.Session(region_name="us-east-1")), LeanClient)
    assert not isinstance(client_of(client_config={"proxies": {}}), LeanClient)
    monkeypatch.setenv("SQS_TASKS_CLIENT", "boto3")
    assert not isinstance(client_of(), LeanClient)
    assert isinstance(client_of(client="lean"), LeanClient)


def test_who_asks_for_it_where_it_cannot_serve_is_told_why() -> None:
    """At the first request, in one line."""
    with pytest.raises(ConfigurationError, match="client='lean' cannot serve here: the retry mode is adaptive; use"):
        client_of(client="lean", retry_mode="adaptive")


def test_there_is_no_other_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error is not taken for the default."""
    monkeypatch.setenv("SQS_TASKS_CLIENT", "leen")
    with pytest.raises(ConfigurationError, match="client='leen' must be 'boto3', 'lean' or 'auto'"):
        client_of()
