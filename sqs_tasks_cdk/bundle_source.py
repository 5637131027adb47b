"""A bundle's parts put together, and the bundle built of them: the half of bundling in which there is no CDK."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from sqs_tasks_cdk import lock_files, wheels
from sqs_tasks_cdk.errors import BundlingError
from sqs_tasks_cdk.python_versions import check_python
from sqs_tasks_cdk.wheels import Target

logger = logging.getLogger(__name__)

#: Part of every hash: raise it when the same input gives another bundle.
BUNDLER_VERSION: Final = "2"

#: What is never shipped, matched against each part of a path.
EXCLUDE: Final = ("__pycache__", "*.pyc", ".*", "*.egg-info", "node_modules", "cdk.out")

#: What the handler needs in a function, and the command line in a container, pinned: telemetry; SQS and click.
HANDLER_REQUIREMENTS: Final = Path(__file__).parent / "requirements" / "handler.lock"
WORKER_REQUIREMENTS: Final = Path(__file__).parent / "requirements" / "worker.lock"

#: Installed packages that the Lambda runtime brings along; together with botocore some 25 MB.
RUNTIME_PACKAGES: Final = ("boto3", "botocore", "s3transfer")

#: Distributed together with this package, and never imported by it.
_ROOT = Path(__file__).resolve().parent.parent

#: In the name of a requirements file that names all that its requirements need.
_COMPLETE: Final = "-complete"

STAGING = tempfile.TemporaryDirectory(prefix="sqs-tasks-bundle-")
atexit.register(STAGING.cleanup)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSource:
    """What goes into a function's code.

    Attributes:
        source: The project's directory, below which the packages and the lock file are looked for.
        packages: The top-level packages and modules to ship, found in ``source`` or ``source/src``.
        requirements: The lock file; the first of ``uv.lock``, ``requirements.lock``, ``requirements.txt``,
            ``poetry.lock``, ``pdm.lock`` and ``Pipfile.lock`` in ``source`` when left out. The tools' own lock files
            need the tool.
        without_requirements: Install nothing of what the project depends on, as when a layer brings it.
        exclude: Patterns of names, at any depth, that are not shipped, besides caches and dotfiles.
        extra_files: More files by their path in the bundle.
        handler: A directory with an ``app.py`` and a ``requirements.txt`` in place of our handler; the entry point is
            then ``app.handler``.
        include_boto3: Ship the boto3 of the lock file, and not use the runtime's, which lags behind (P6).
    """

    source: Path | str = "."
    packages: Sequence[str]
    requirements: Path | str | None = None
    without_requirements: bool = False
    exclude: Sequence[str] = ()
    extra_files: Mapping[str, Path | str] = field(default_factory=dict)
    handler: Path | str | None = None
    include_boto3: bool = False


class Staging:
    """A directory with all that a bundle is made of, but for the installed packages.

    ``code/`` is copied as it is; each ``requirements-<n>.txt`` is installed, in order. Docker sees the same directory.
    """

    def __init__(self, directory: Path, *, project: Path) -> None:
        self.directory = directory
        self.project = project

    @classmethod
    def of(cls, bundle: BundleSource, *, for_container: bool = False) -> Staging:
        """The parts of a bundle, copied and listed; nothing is installed yet.

        Raises:
            BundlingError: A package or the lock file is not there, or names collide.
        """
        source = Path(bundle.source).resolve()
        staging = cls(Path(tempfile.mkdtemp(dir=STAGING.name)), project=source)
        exclude = (*EXCLUDE, *bundle.exclude)
        if not source.is_dir():
            raise BundlingError(f"there is no directory {str(source)!r}; give PythonBundle(source=...) the project's")
        lock = None if bundle.without_requirements else lock_files.lock_file(source, bundle.requirements)
        lock_text = "" if lock is None else lock_files.requirements_text(lock)
        pinned = lock_files.distributions(lock_text)
        own_handler = None if bundle.handler is None or for_container else Path(bundle.handler)
        for package in bundle.packages:
            _check_package_name(package, own_handler=own_handler)
            _copy(_find_package(source, package), staging.code, exclude)
        if "sqs-tasks" not in pinned:
            _copy(_ROOT / "sqs_tasks", staging.code, exclude)
        if own_handler is not None:
            shutil.copy2(own_handler / "app.py", staging.code / "app.py")
        for path, file in bundle.extra_files.items():
            (staging.code / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, staging.code / path)

        # The application's lock comes first: what it pins is not replaced by what the handler asks for.
        staging.add_requirements(lock_text)
        if own_handler is not None:
            staging.add_requirements((own_handler / "requirements.txt").read_text(encoding="utf-8"))
        else:
            ours = (WORKER_REQUIREMENTS if for_container else HANDLER_REQUIREMENTS).read_text(encoding="utf-8")
            unwanted = set() if for_container or bundle.include_boto3 else set(RUNTIME_PACKAGES)
            staging.add_requirements(lock_files.without(ours, pinned | unwanted), complete=True)
        if lock is not None and (loose := lock_files.unpinned(lock_text)):
            logger.warning(
                "%s does not fix the versions of %s, so the same bundle may hold others tomorrow; pin them with '=='",
                lock,
                ", ".join(loose),
            )
        return staging

    def add_requirements(self, text: str, *, complete: bool = False) -> None:
        """Have these installed, after the ones before; ``complete`` says that they name all that they need."""
        if lock_files.requirement_lines(text):
            number, suffix = len(self.requirement_files), _COMPLETE if complete else ""
            (self.directory / f"requirements-{number}{suffix}.txt").write_text(text, encoding="utf-8")

    @property
    def code(self) -> Path:
        """What is copied as it is."""
        return self.directory / "code"

    @property
    def requirement_files(self) -> list[Path]:
        """What is installed, file by file, in order."""
        return sorted(self.directory.glob("requirements-*.txt"))

    def pip_options(self, directory: str) -> Iterator[str]:
        """What pip is asked to install, file by file, when this directory is found as ``directory``."""
        for file in self.requirement_files:
            alone = "--no-deps " if _is_complete(file) else ""
            yield f"--disable-pip-version-check {alone}-r {directory}/{file.name}"

    def content_hash(self, *, target: Target, include_boto3: bool) -> str:
        """A hash of everything that decides what the bundle holds, and of nothing else (P4)."""
        digest = hashlib.sha256()
        for part in (BUNDLER_VERSION, target.python_version, target.machine, str(include_boto3)):
            digest.update(part.encode() + b"\0")
        for path in _files(self.directory):
            digest.update(path.relative_to(self.directory).as_posix().encode() + b"\0")
            digest.update(b"x" if os.access(path, os.X_OK) else b"-")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def docker_commands(self, *, include_boto3: bool) -> Iterator[str]:
        """The same as :func:`build`, in a container of the runtime's build image."""
        for options in self.pip_options("/asset-input"):
            yield f"pip install --no-compile -t /asset-output {options}"
        if not include_boto3:
            yield "cd /asset-output && rm -rf " + " ".join(f"{name} {name}-*.dist-info" for name in RUNTIME_PACKAGES)
        yield (
            "for path in /asset-input/code/*; do name=$(basename $path); "
            'if [ -e /asset-output/$name ]; then echo "$name is in the application and in a dependency" >&2; exit 1; '
            "fi; done"
        )
        yield "cp -R /asset-input/code/. /asset-output/"


def check_function_python(bundle: BundleSource, target: Target) -> None:
    """Refuse a runtime whose Python the project does not run on.

    Raises:
        BundlingError: The project's ``requires-python`` excludes it.
    """
    check_python(
        Path(bundle.source),
        target.python_version,
        where=f"the runtime python{target.python_version}",
        instead="choose another runtime",
    )


def build(staging: Staging, output: Path, *, target: Target, include_boto3: bool) -> bool:
    """Put a bundle together in a directory; False when a dependency has no wheel for the target.

    Raises:
        BundlingError: The installer failed for another reason, or names collide.
    """
    output.mkdir(parents=True, exist_ok=True)
    for requirements in staging.requirement_files:
        if not wheels.install(
            requirements, output, target=target, project=staging.project, alone=_is_complete(requirements)
        ):
            for path in output.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return False
    if not include_boto3:
        for name in RUNTIME_PACKAGES:
            for path in (output / name, *output.glob(f"{name}-*.dist-info")):
                shutil.rmtree(path, ignore_errors=True)
    # Console scripts begin with the path of this interpreter, and bytecode holds times: neither is the same twice.
    shutil.rmtree(output / "bin", ignore_errors=True)
    for cache in output.rglob("__pycache__"):
        shutil.rmtree(cache)
    _check_no_collision(staging.code, output)
    shutil.copytree(staging.code, output, dirs_exist_ok=True)
    return True


def _is_complete(requirements: Path) -> bool:
    return requirements.stem.endswith(_COMPLETE)


def _check_package_name(package: str, *, own_handler: Path | None) -> None:
    """Refuse a package of the application that another part of the bundle would overwrite."""
    if package == "sqs_tasks":
        raise BundlingError(
            "'sqs_tasks' is in PythonBundle(packages=[...]), and the bundle has it already; leave it out, or pin the "
            "release that you want in the lock file"
        )
    if package == "app" and own_handler is not None:
        raise BundlingError(
            f"the package or module 'app' of the application and 'app.py' in {str(own_handler)!r} have one name, so "
            "one would hide the other; rename one of them, or leave out handler=: ours needs no file of its own"
        )


def _check_no_collision(code: Path, output: Path) -> None:
    """Refuse an application whose package has the name of one that a dependency has installed."""
    for path in sorted(code.iterdir()):
        installed = output / path.name
        # Namespace packages have no __init__.py, and may have parts in several places.
        is_namespace = installed.is_dir() and not any((one / "__init__.py").exists() for one in (installed, path))
        if installed.exists() and not is_namespace:
            raise BundlingError(
                f"{path.name!r} is a package of the application and of a dependency, so one would overwrite the other; "
                "rename the application's"
            )


def _find_package(source: Path, package: str) -> Path:
    for directory in (source, source / "src"):
        for candidate in (directory / package, directory / f"{package}.py"):
            if candidate.exists():
                return candidate
    raise BundlingError(
        f"no package or module {package!r} in {str(source)!r} or its 'src'; give bundle=PythonBundle(source=..., "
        "packages=[...]) with the project's directory and its top-level packages"
    )


def _copy(path: Path, code: Path, exclude: Sequence[str]) -> None:
    code.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        shutil.copy2(path, code / path.name)
        return
    shutil.copytree(
        path,
        code / path.name,
        ignore=lambda _directory, names: {name for name in names if any(fnmatch(name, pattern) for pattern in exclude)},
        dirs_exist_ok=True,
    )


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())
