"""Where SQS is: options, environment variables, and what they set for boto3."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from sqs_tasks.cli.endpoint import endpoint_options


@pytest.fixture
def variables(directory):
    """Run a command that has the options; gives the AWS variables it sees."""

    @click.command
    @endpoint_options
    def show() -> None:
        seen.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})

    seen: dict[str, str] = {}

    def run(*words, **environ):
        os.environ.update(environ)
        result = CliRunner().invoke(show, words)
        assert result.exit_code == 0, result.output
        return seen

    return run


def test_without_options_nothing_is_set(variables):
    """boto3 finds endpoint and region as it always does."""
    assert variables() == {}


def test_local_endpoint_brings_credentials_and_a_region(variables):
    """So that a first try on a laptop needs no configuration."""
    assert variables("--endpoint-url", "http://127.0.0.1:9324") == {
        "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9324",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_local_endpoint_overrides_no_credentials(variables):
    """Credentials that are set are kept for a local endpoint, too."""
    seen = variables("--endpoint-url", "http://localhost:9324", AWS_ACCESS_KEY_ID="mine")

    assert seen["AWS_ACCESS_KEY_ID"] == "mine"
    assert "AWS_SECRET_ACCESS_KEY" not in seen


def test_endpoint_elsewhere_gets_the_caller_s_own_credentials(variables):
    """A VPC endpoint is asked with the role of the container, which is in no variable."""
    url = "https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com"

    assert variables("--endpoint-url", url) == {"AWS_ENDPOINT_URL_SQS": url}


def test_region_is_set_under_both_names(variables):
    """boto3 and other SDKs read different variables."""
    assert variables("--region", "eu-central-1") == {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}


def test_region_of_the_container_reaches_boto3(variables):
    """ECS and Lambda set AWS_REGION; boto3 reads AWS_DEFAULT_REGION."""
    assert variables(AWS_REGION="eu-west-1")["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_own_variables_work_too(variables):
    """``SQS_TASKS_ENDPOINT_URL`` and ``SQS_TASKS_REGION`` stand in for the options."""
    seen = variables(SQS_TASKS_ENDPOINT_URL="http://127.0.0.1:1", SQS_TASKS_REGION="eu-west-1")

    assert (seen["AWS_ENDPOINT_URL_SQS"], seen["AWS_REGION"]) == ("http://127.0.0.1:1", "eu-west-1")


@pytest.mark.parametrize("url", ["127.0.0.1:9324", "http://", "sqs"])
def test_endpoint_that_is_no_url_is_wrong_usage(run, url):
    """An endpoint without scheme or host is exit code 2."""
    result = run("queues", "list", "a:b", "--endpoint-url", url)

    assert result.exit_code == 2
    assert "must be a URL such as" in result.stderr
