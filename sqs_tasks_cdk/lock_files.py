"""Which versions of which distributions an application needs, read from its lock file."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

from sqs_tasks_cdk.errors import BundlingError

#: Lock files that are looked for; the first one found wins.
LOCK_FILES: Final = ("uv.lock", "requirements.lock", "requirements.txt", "poetry.lock", "pdm.lock", "Pipfile.lock")

#: The tool that turns a lock file into requirements, with its arguments. The other lock files are requirements already.
_EXPORTS: Final[Mapping[str, Sequence[str]]] = {
    "uv.lock": ("uv", "export", "--frozen", "--no-dev", "--no-emit-workspace", "--no-header", "--quiet"),
    "poetry.lock": ("poetry", "export", "--no-interaction", "--only", "main", "--format", "requirements.txt"),
    "pdm.lock": ("pdm", "export", "--prod", "--format", "requirements"),
    "Pipfile.lock": ("pipenv", "requirements", "--hash"),
}

#: What else a tool needs to export: poetry has that in a plugin, and pdm 2.29 fails with hishel 2.
_WITH: Final[Mapping[str, str]] = {"poetry": " poetry-plugin-export", "pdm": " 'hishel<2'"}

#: What a bundle has, or Lambda's runtime brings, without being asked.
_ALWAYS_THERE: Final = frozenset({"sqs-tasks", "boto3", "botocore", "s3transfer"})

#: The end of a requirement that is for other systems than a function's alone: ``; sys_platform == 'win32'``.
_ELSEWHERE: Final = re.compile(
    r""";\s*(?:sys_platform|platform_system|os_name)\s*==\s*(['"])(?:win32|darwin|cygwin|Windows|Darwin|nt)\1\s*"""
)


def find_uv() -> str | None:
    """The path of uv, preferably the one beside this interpreter; None when there is none."""
    return _find("uv")


def lock_file(source: Path, requirements: Path | str | None) -> Path | None:
    """The lock file of a project: the one that is named, or the first of :data:`LOCK_FILES`; None when none is needed.

    Raises:
        BundlingError: The one that is named does not exist, or the project declares dependencies and has no lock file.
    """
    if requirements is not None:
        path = source / requirements
        if not path.is_file():
            raise BundlingError(f"there is no requirements file {str(path)!r}; give its path below {str(source)!r}")
        return path
    found = next((source / name for name in LOCK_FILES if (source / name).is_file()), None)
    if found is None:
        _check_nothing_is_declared(source)
    return found


def requirements_text(lock: Path) -> str:
    """What a lock file pins, as the text of a requirements file.

    Raises:
        BundlingError: The tool of the lock file is missing or failed, or the file names something that a bundle cannot
            follow.
    """
    export = _EXPORTS.get(lock.name)
    if export is None:
        return _with_includes(lock)
    name, *arguments = export
    tool = find_uv() if name == "uv" else _find(name)
    if tool is None:
        raise BundlingError(
            f"reading {str(lock)!r} needs {name}, which is not on the PATH; install it with 'pip install {name}"
            f"{_WITH.get(name, '')}', or "
            f"export a requirements.lock with '{' '.join(export)}' and name it with PythonBundle(requirements=...)"
        )
    done = subprocess.run(  # noqa: S603  # the arguments are ours, and nothing goes through a shell
        [tool, *arguments], check=False, capture_output=True, text=True, cwd=lock.parent
    )
    if done.returncode != 0:
        raise BundlingError(
            f"'{name} {arguments[0]}' could not read {str(lock)!r}:\n{(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def requirement_lines(text: str) -> list[str]:
    """The lines of a requirements file that name a distribution or set an option, without comments and hashes."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "--hash"))]


def distributions(text: str) -> set[str]:
    """The normalised names of the distributions that a requirements file asks for."""
    return {name for name in map(_distribution, requirement_lines(text)) if name is not None}


def without(text: str, names: AbstractSet[str]) -> str:
    """A requirements file without some distributions, given by their normalised names."""
    return "".join(f"{entry}\n" for entry in _entries(text) if _distribution(entry) not in names)


def unpinned(text: str) -> list[str]:
    """The distributions of a requirements file whose versions it does not fix."""
    lines = [line for line in requirement_lines(text) if _distribution(line) is not None]
    return [line for line in lines if "==" not in line and " @ " not in line]


def _find(tool: str) -> str | None:
    return shutil.which(tool, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def _distribution(line: str) -> str | None:
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
    return None if found is None else re.sub(r"[-_.]+", "-", found[0]).lower()


def _entries(text: str) -> Iterator[str]:
    """The entries of a requirements file: a line, with those that a backslash at its end continues."""
    entry: list[str] = []
    for line in text.splitlines():
        entry.append(line)
        if not line.endswith("\\"):
            yield "\n".join(entry)
            entry = []
    if entry:
        yield "\n".join(entry)


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


def _check_nothing_is_declared(source: Path) -> None:
    """Refuse a project that needs distributions and does not pin them: its functions would fail at their import."""
    declared = [
        line
        for line in _declared(source)
        if _distribution(line) not in _ALWAYS_THERE and not _is_for_other_systems(line)
    ]
    if declared:
        raise BundlingError(
            f"the project in {str(source)!r} declares dependencies ({', '.join(declared)}) and has no lock file, so "
            f"the bundle would be without them; write one of {', '.join(LOCK_FILES)} (as with 'uv lock', or 'pip "
            "freeze > requirements.lock'), name another with PythonBundle(requirements=...), or say "
            "PythonBundle(without_requirements=True) when a layer brings them"
        )


def _is_for_other_systems(line: str) -> bool:
    """Whether a requirement's marker says that Linux does not need it."""
    return _ELSEWHERE.fullmatch(line[line.index(";") :]) is not None if ";" in line else False


def _declared(source: Path) -> list[str]:
    """What a project says it depends on, in whatever file it says so."""
    found: list[str] = []
    pyproject = _toml(source / "pyproject.toml")
    project = pyproject.get("project", {})
    found += project.get("dependencies", [])
    found += [name for name in pyproject.get("tool", {}).get("poetry", {}).get("dependencies", {}) if name != "python"]
    found += _toml(source / "Pipfile").get("packages", {})
    if (source / "setup.cfg").is_file():
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(source / "setup.cfg", encoding="utf-8")
        found += parser.get("options", "install_requires", fallback="").split("\n")
    if (source / "setup.py").is_file() and "install_requires" in (source / "setup.py").read_text(encoding="utf-8"):
        found.append("install_requires of setup.py")
    if "dependencies" in project.get("dynamic", []) and not found:
        found.append("'dynamic' dependencies of pyproject.toml")
    return [line.strip() for line in found if line.strip()]


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BundlingError(f"{str(path)!r} is not TOML ({error}); correct it") from error
