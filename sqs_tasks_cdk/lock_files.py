"""Which versions of which distributions an application needs, read from its lock file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from sqs_tasks_cdk.errors import BundlingError

#: Lock files that are looked for, the first one found wins.
LOCK_FILES: Final = ("uv.lock", "requirements.lock", "requirements.txt")


def find_uv() -> str | None:
    """The path of uv, preferably the one beside this interpreter; None when there is none."""
    return shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def lock_file(source: Path, requirements: Path | str | None) -> Path | None:
    """The lock file of a project: the one that is named, or the first of :data:`LOCK_FILES`; None when there is none.

    Raises:
        BundlingError: The one that is named does not exist.
    """
    if requirements is None:
        return next((source / name for name in LOCK_FILES if (source / name).is_file()), None)
    path = source / requirements
    if not path.is_file():
        raise BundlingError(f"there is no requirements file {str(path)!r}; give its path below {str(source)!r}")
    return path


def requirements_text(lock: Path) -> str:
    """What a lock file pins, as the text of a requirements file.

    Raises:
        BundlingError: ``uv`` is missing or failed, or the file names something that a bundle cannot follow.
    """
    if lock.name != "uv.lock":
        return _with_includes(lock)
    uv = find_uv()
    if uv is None:
        raise BundlingError(
            f"reading {str(lock)!r} needs uv, which is not on the PATH; install it with 'pip install uv', or export a "
            "requirements.lock with 'uv export --frozen --no-dev --no-emit-project'"
        )
    done = subprocess.run(  # noqa: S603  # the arguments are ours, and nothing goes through a shell
        [uv, "export", "--frozen", "--no-dev", "--no-emit-workspace", "--no-header", "--quiet"],
        check=False,
        capture_output=True,
        text=True,
        cwd=lock.parent,
    )
    if done.returncode != 0:
        raise BundlingError(f"'uv export' could not read {str(lock)!r}:\n{done.stderr.strip()}")
    return done.stdout


def _with_includes(lock: Path) -> str:
    """The text of a requirements file with the files that it includes, for it is installed from another place.

    Raises:
        BundlingError: It names something that lies beside it and is not a list of requirements.
    """
    lines = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] in (["-r"], ["--requirement"]):
            lines.append(_with_includes(lock.parent / words[1]))
        elif words and (words[0] in {"-e", "--editable", "-c", "--constraint"} or words[0].startswith((".", "file:"))):
            raise BundlingError(
                f"{str(lock)!r} has {line.strip()!r}, which a bundle cannot follow; export a lock file that stands "
                "alone, as with 'uv export --frozen --no-dev --no-emit-project -o requirements.lock', and list the "
                "project's own packages in PythonBundle(packages=[...])"
            )
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def requirement_lines(text: str) -> list[str]:
    """The lines of a requirements file that name a distribution or set an option, without comments and hashes."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "--hash"))]


def names_distribution(text: str, distribution: str) -> bool:
    """Whether a requirements file asks for a distribution, given by its normalised name."""
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in requirement_lines(text))
    return any(re.sub(r"[-_.]+", "-", name[0]).lower() == distribution for name in names if name is not None)
