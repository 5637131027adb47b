"""A session of the AWS SDK for JavaScript against the embedded SQS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sqs_tasks.local.server import LocalSQSServer
from tests.support.node import node
from tests.support.worker_processes import environment

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = Path(__file__).with_name("sdk_session.mjs")


def test_javascript_sdk_finds_what_it_knows_from_aws():
    """The script asserts; its exit code tells."""
    program = node()
    if program is None or not (ROOT / "node_modules" / "@aws-sdk" / "client-sqs").is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "the JavaScript SDK is not there; 'make test' installs it"
        )
    with LocalSQSServer() as server:
        ran = subprocess.run(
            [program, SCRIPT],
            env=environment(server.endpoint_url, AWS_REGION="us-east-1"),
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert (ran.returncode, ran.stdout) == (0, "as on AWS\n"), ran.stderr
