"""The AWS CLI, in an environment of its own, ``.venv-awscli``: it pins its own libraries.

python -m venv .venv-awscli && .venv-awscli/bin/pip install -r requirements-awscli.lock
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.worker_processes import environment

ROOT = Path(__file__).resolve().parents[2]

#: Its command, in its own environment.
COMMAND = ROOT / ".venv-awscli" / "bin" / "aws"

#: Seconds for one command; it takes one on an idle machine.
COMMAND_SECONDS = 60


def is_installed() -> bool:
    return COMMAND.is_file()


class AwsCli:
    """Runs ``aws sqs`` against an endpoint.

    Args:
        endpoint_url: Where SQS is.
        variables: More variables, over those.
    """

    def __init__(self, endpoint_url: str, variables: Mapping[str, str] | None = None) -> None:
        self._endpoint_url = endpoint_url
        self._environment = environment(endpoint_url, AWS_PAGER="", **(variables or {}))

    def run(self, command: str, *arguments: str) -> Any:
        """What a command printed as JSON; None when it printed nothing."""
        done = self.process(command, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def process(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return subprocess.run(
            # Version 1 of the CLI, the one on PyPI, does not look at AWS_ENDPOINT_URL_SQS.
            [COMMAND, "sqs", command, "--endpoint-url", self._endpoint_url, "--output", "json", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
