"""A function's code, put together without Docker.

The bundle is: the handler (``app.py``), this release of ``sqs_tasks``, the packages of the application, and what the
lock file names as wheels for the function's own platform. Which wheels those are does not depend on the machine that
bundles (P3), and the hash is made of what goes in, not of what comes out, so that the same input is never deployed
twice (P4). A dependency without a wheel for Lambda is built in Docker if there is one.
"""

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
from typing import Any, Final, cast

import jsii
from aws_cdk import AssetHashType, BundlingOptions, ILocalBundling
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_ecr_assets import Platform

from sqs_tasks_cdk import wheels
from sqs_tasks_cdk.errors import BundlingError
from sqs_tasks_cdk.lock_files import lock_file, names_distribution, requirement_lines, requirements_text
from sqs_tasks_cdk.wheels import Target

logger = logging.getLogger(__name__)

#: Part of every hash: raise it when the same input gives another bundle.
BUNDLER_VERSION: Final = "1"

#: What is never shipped, matched against each part of a path.
EXCLUDE: Final = ("__pycache__", "*.pyc", ".*", "*.egg-info", "node_modules", "cdk.out")

#: Installed packages that the Lambda runtime brings along; together with botocore some 25 MB.
RUNTIME_PACKAGES: Final = ("boto3", "botocore", "s3transfer")

#: What a container worker needs besides the application's lock file: the command line and SQS.
_WORKER_REQUIREMENTS: Final = "boto3>=1.34\nclick>=8.1\nrich>=13\n"

#: The image of a container worker. One process that gets its signals itself, and is not root.
_DOCKERFILE: Final = """\
FROM public.ecr.aws/docker/library/python:3.13-slim
WORKDIR /app
COPY requirements-*.txt ./
RUN for file in requirements-*.txt; do pip install --no-cache-dir --disable-pip-version-check -r "$file"; done
COPY code/ ./
ENV PYTHONUNBUFFERED=1
USER 1000
CMD ["python", "-m", "sqs_tasks", "worker"]
"""

#: Distributed together with this package, and never imported by it.
_ROOT = Path(__file__).resolve().parent.parent

_STAGING = tempfile.TemporaryDirectory(prefix="sqs-tasks-bundle-")
atexit.register(_STAGING.cleanup)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonBundle:
    """What goes into a function's code.

    Attributes:
        source: The project's directory, below which the packages and the lock file are looked for.
        packages: The top-level packages and modules to ship, found in ``source`` or ``source/src``.
        requirements: The lock file; the first of ``uv.lock``, ``requirements.lock`` and ``requirements.txt`` in
            ``source`` when left out. ``uv.lock`` needs ``uv``.
        exclude: Patterns of names, at any depth, that are not shipped, besides caches and dotfiles.
        extra_files: More files by their path in the bundle.
        handler: A directory with an ``app.py`` and a ``requirements.txt`` in place of the ones that come along.
        include_boto3: Ship the boto3 of the lock file, and not use the runtime's, which lags behind (P6).
    """

    source: Path | str = "."
    packages: Sequence[str]
    requirements: Path | str | None = None
    exclude: Sequence[str] = ()
    extra_files: Mapping[str, Path | str] = field(default_factory=dict)
    handler: Path | str | None = None
    include_boto3: bool = False

    def to_code(self, *, runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> lambda_.Code:
        """The bundle as a function's ``code``, built when it is synthesised and not built before.

        Raises:
            BundlingError: A package or the lock file is not there.
        """
        target = Target.of(runtime=runtime, architecture=architecture)
        staging = _Staging.of(self)
        return lambda_.Code.from_asset(
            str(staging.directory),
            asset_hash=staging.content_hash(target=target, include_boto3=self.include_boto3),
            asset_hash_type=AssetHashType.CUSTOM,
            bundling=BundlingOptions(
                image=runtime.bundling_image,
                platform=architecture.docker_platform,
                command=["bash", "-c", " && ".join(staging.docker_commands(include_boto3=self.include_boto3))],
                local=cast(
                    "ILocalBundling",
                    _LocalBundler(staging=staging, target=target, include_boto3=self.include_boto3),
                ),
            ),
        )

    def to_image(self, *, cpu_architecture: ecs.CpuArchitecture) -> ecs.ContainerImage:
        """An image of the same parts for a container worker, built by Docker when it is deployed and not before.

        Raises:
            BundlingError: A package or the lock file is not there.
        """
        staging = _Staging.of(self, extra_requirements=_WORKER_REQUIREMENTS)
        (staging.directory / "Dockerfile").write_text(_DOCKERFILE, encoding="utf-8")
        is_arm = cpu_architecture == ecs.CpuArchitecture.ARM64
        return ecs.ContainerImage.from_asset(
            str(staging.directory), platform=Platform.LINUX_ARM64 if is_arm else Platform.LINUX_AMD64
        )

    def build(self, directory: Path | str, *, runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> bool:
        """Put the bundle together in a directory; False when a dependency has no wheel for the function's platform.

        Raises:
            BundlingError: A package or the lock file is not there, or the installer failed for another reason.
        """
        return _build(
            _Staging.of(self),
            Path(directory),
            target=Target.of(runtime=runtime, architecture=architecture),
            include_boto3=self.include_boto3,
        )


class _Staging:
    """A directory with all that a bundle is made of, but for the installed packages.

    ``code/`` is copied as it is; each ``requirements-<n>.txt`` is installed, in order. Docker sees the same directory.
    """

    def __init__(self, directory: Path, *, project: Path) -> None:
        self.directory = directory
        self.project = project

    @classmethod
    def of(cls, bundle: PythonBundle, *, extra_requirements: str | None = None) -> _Staging:
        source = Path(bundle.source).resolve()
        directory = Path(tempfile.mkdtemp(dir=_STAGING.name))
        code = directory / "code"
        exclude = (*EXCLUDE, *bundle.exclude)

        if not source.is_dir():
            raise BundlingError(f"there is no directory {str(source)!r}; give PythonBundle(source=...) the project's")
        lock = lock_file(source, bundle.requirements)
        lock_text = "" if lock is None else requirements_text(lock)
        for package in bundle.packages:
            _copy(_find_package(source, package), code, exclude)
        if not names_distribution(lock_text, "sqs-tasks"):
            _copy(_ROOT / "sqs_tasks", code, exclude)
        handler = handler_directory() if bundle.handler is None else Path(bundle.handler)
        shutil.copy2(handler / "app.py", code / "app.py")
        for path, file in bundle.extra_files.items():
            (code / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, code / path)

        # The application's lock comes first: what it pins is not replaced by what the handler asks for.
        if extra_requirements is None:
            extra_requirements = (handler / "requirements.txt").read_text(encoding="utf-8")
        texts = [lock_text, extra_requirements]
        for number, text in enumerate(text for text in texts if requirement_lines(text)):
            (directory / f"requirements-{number}.txt").write_text(text, encoding="utf-8")
        return cls(directory, project=source)

    @property
    def code(self) -> Path:
        return self.directory / "code"

    @property
    def requirement_files(self) -> list[Path]:
        return sorted(self.directory.glob("requirements-*.txt"))

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
        """The same as :func:`_build`, in a container of the runtime's build image."""
        for file in self.requirement_files:
            yield f"pip install --no-compile --disable-pip-version-check -t /asset-output -r /asset-input/{file.name}"
        if not include_boto3:
            yield "cd /asset-output && rm -rf " + " ".join(f"{name} {name}-*.dist-info" for name in RUNTIME_PACKAGES)
        yield "cp -R /asset-input/code/. /asset-output/"


@jsii.implements(ILocalBundling)
class _LocalBundler:
    """What the CDK asks before it turns to Docker (P2)."""

    def __init__(self, *, staging: _Staging, target: Target, include_boto3: bool) -> None:
        self._staging = staging
        self._target = target
        self._include_boto3 = include_boto3

    def try_bundle(self, output_dir: str, *_options: Any, **_more_options: Any) -> bool:
        """Build into ``output_dir``; False leaves it to Docker."""
        if _build(self._staging, Path(output_dir), target=self._target, include_boto3=self._include_boto3):
            return True
        docker = os.environ.get("CDK_DOCKER", "docker")
        if shutil.which(docker) is None:
            raise BundlingError(
                f"a dependency has no wheel for Python {self._target.python_version} on {self._target.machine} Linux "
                f"(see above), and there is no {docker!r} to build it in; install Docker, choose a version that has "
                "wheels, try the other architecture=, or give code= yourself"
            )
        return False


def handler_directory() -> Path:
    """Where the deployable entry point lies: inside this package when installed, beside it in the repository.

    Raises:
        BundlingError: It is in neither place.
    """
    candidates = (Path(__file__).parent / "lambda_handler", _ROOT / "lambda_handler")
    for candidate in candidates:
        if (candidate / "app.py").is_file() and (candidate / "requirements.txt").is_file():
            return candidate
    raise BundlingError(f"no lambda_handler/app.py in {' or '.join(str(path.parent) for path in candidates)}")


def _build(staging: _Staging, output: Path, *, target: Target, include_boto3: bool) -> bool:
    output.mkdir(parents=True, exist_ok=True)
    for requirements in staging.requirement_files:
        if not wheels.install(requirements, output, target=target, project=staging.project):
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
    shutil.copytree(staging.code, output, dirs_exist_ok=True)
    return True


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
