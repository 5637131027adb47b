"""The region of the client: where the environment says, and an error that helps where it says nothing."""

from __future__ import annotations

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError


@pytest.fixture(autouse=True)
def no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


def test_the_region_that_containers_have_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 reads AWS_DEFAULT_REGION alone; ECS, Kubernetes set-ups and other SDKs know AWS_REGION."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")

    assert SQSEnv().client().meta.region_name == "eu-west-1"


def test_no_region_is_said_in_one_line() -> None:
    """Instead of a traceback out of botocore's depths."""
    with pytest.raises(ConfigurationError, match="no AWS region is set; set AWS_REGION"):
        SQSEnv().client()
