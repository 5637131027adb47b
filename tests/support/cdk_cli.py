"""The CDK command line, pointed at an emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.node import node

ROOT = Path(__file__).resolve().parents[2]

#: The command line that ``package-lock.json`` pins.
CLI = ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk"

#: Seconds for one command; a deploy takes three on an idle machine.
COMMAND_SECONDS = 240


@dataclass(frozen=True, kw_only=True)
class CdkCli:
    """Runs commands on one CDK app.

    Attributes:
        app: The shell command that synthesises.
        home: An empty directory of its own: the CLI remembers which account a key belongs to.
        environment: Variables that point at the emulator.
        context: Values for ``-c``.
    """

    app: str
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)

    def run(self, command: str, *arguments: str) -> str:
        """Run a command to its end and return what it printed.

        Raises:
            RuntimeError: It failed; the text holds what it printed.
        """
        context = [argument for name, value in self.context.items() for argument in ("-c", f"{name}={value}")]
        runtime = node()
        assert runtime is not None
        done = subprocess.run(
            [
                *(runtime, str(CLI), command, *arguments, "--app", self.app, "--output", str(self.home / "cdk.out")),
                *("--no-notices", "--ci", *context),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            cwd=ROOT,
            env=self._environment(runtime),
        )
        output = done.stdout + done.stderr
        if done.returncode != 0:
            raise RuntimeError(f"cdk {command} failed with {done.returncode}:\n{output}")
        return output

    def _environment(self, runtime: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
        return {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "CDK_HOME": str(self.home),
            "JSII_NODE": runtime,
            **self.environment,
        }


def is_installed() -> bool:
    """Whether there is a Node and the pinned command line."""
    return node() is not None and CLI.is_file()
