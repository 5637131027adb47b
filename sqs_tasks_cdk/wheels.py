"""Installing wheels for the platform of a function, on whatever machine bundles."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sqs_tasks_cdk import lock_files
from sqs_tasks_cdk.errors import BundlingError

logger = logging.getLogger(__name__)

#: How pip and uv say that there is no wheel of a requirement for the target.
_NO_WHEEL: Final = ("No matching distribution found", "no usable wheels", "no wheels with a matching")

#: glibc of Amazon Linux 2023 (Python 3.12 and later) and Amazon Linux 2 (before), as manylinux minor versions.
_AL2023_GLIBC, _AL2_GLIBC = 34, 26

#: The oldest manylinux tag by glibc version; pip does not widen a platform tag by itself (P3).
_OLDEST_GLIBC = 17


class Named(Protocol):
    """What has one of Lambda's names."""

    @property
    def name(self) -> str:
        """The name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The platform that wheels are chosen for.

    Attributes:
        python_version: As in ``"3.13"``.
        machine: ``"aarch64"`` or ``"x86_64"``.
    """

    python_version: str
    machine: str

    @classmethod
    def of(cls, *, runtime: Named, architecture: Named) -> Target:
        """The platform of a function, by the CDK's ``Runtime`` and ``Architecture``.

        Raises:
            BundlingError: The runtime is not a Python runtime.
        """
        return cls.named(runtime=runtime.name, architecture=architecture.name)

    @classmethod
    def named(cls, *, runtime: str, architecture: str) -> Target:
        """The platform of a function, by Lambda's names, as in ``python3.13`` and ``arm64``.

        Raises:
            BundlingError: The runtime is not a Python runtime.
        """
        if not runtime.startswith("python3."):
            raise BundlingError(
                f"runtime {runtime!r} is not a managed Python runtime, so it is not known which wheels it "
                "needs; use lambda_.Runtime.PYTHON_3_13, or give code= yourself"
            )
        machine = "aarch64" if architecture == "arm64" else "x86_64"
        return cls(python_version=runtime.removeprefix("python"), machine=machine)

    @property
    def glibc_minor(self) -> int:
        """The newest glibc, as 2.<minor>, that the runtime's system can load wheels for."""
        minor = int(self.python_version.split(".")[1])
        return _AL2023_GLIBC if minor >= 12 else _AL2_GLIBC  # noqa: PLR2004  # Python 3.12 came with Amazon Linux 2023

    @property
    def pip_platforms(self) -> list[str]:
        """Every platform tag that the runtime can load, the newest first."""
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc_minor, _OLDEST_GLIBC - 1, -1)]
        return [*tags, f"manylinux2014_{self.machine}"]

    @property
    def uv_platform(self) -> str:
        """The same as one platform of uv, which widens it by itself and knows no 2.26."""
        minor = self.glibc_minor if self.glibc_minor == _AL2023_GLIBC else _OLDEST_GLIBC
        return f"{self.machine}-manylinux_2_{minor}"


def install(requirements: Path, output: Path, *, target: Target, project: Path, alone: bool = False) -> bool:
    """Install wheels for the target; False when a requirement has none.

    It runs in the project's directory, where the installer finds the project's settings, such as a private index.

    Args:
        requirements: The requirements file.
        output: The directory to install into.
        target: The platform of the function.
        project: The project's directory.
        alone: Whether to install what the file names and not what that needs in turn.

    Raises:
        BundlingError: The installer failed for another reason than a missing wheel.
    """
    uv = lock_files.find_uv()
    if uv is not None:
        command = [
            *(uv, "pip", "install", "--quiet", "--link-mode", "copy", "--target", str(output)),
            *("--python-platform", target.uv_platform, "--python-version", target.python_version),
            *("--only-binary", ":all:", "--requirement", str(requirements)),
        ]
    else:
        _warn_of_markers(requirements, target=target)
        platforms = [argument for tag in target.pip_platforms for argument in ("--platform", tag)]
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--no-compile", "--target", str(output), "--implementation", "cp"),
            *("--python-version", target.python_version, *platforms),
            *("--only-binary", ":all:", "--requirement", str(requirements)),
        ]
    if alone:
        command.append("--no-deps")
    done = subprocess.run(  # noqa: S603  # the arguments are ours, and nothing goes through a shell
        command, check=False, capture_output=True, text=True, cwd=project
    )
    if done.returncode == 0:
        return True
    if _says_no_wheel(done.stderr):
        logger.warning(
            "No wheel for Python %s on %s Linux, so this dependency is left to Docker:\n%s",
            target.python_version,
            target.machine,
            done.stderr.strip(),
        )
        return False
    raise BundlingError(f"installing {requirements.name} failed:\n{done.stderr.strip() or done.stdout.strip()}")


def _says_no_wheel(text: str) -> bool:
    return any(words in text for words in _NO_WHEEL)


def _warn_of_markers(requirements: Path, *, target: Target) -> None:
    """Tell what pip cannot do: it evaluates environment markers for the interpreter that runs it (P3)."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != target.python_version and ";" in requirements.read_text(encoding="utf-8"):
        logger.warning(
            "pip evaluates the environment markers in %s for this Python %s, not for the function's %s; install uv, "
            "which evaluates them for the function",
            requirements.name,
            here,
            target.python_version,
        )
