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
import re
import shutil
import subprocess
import sys
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

from sqs_tasks_cdk.errors import BundlingError

logger = logging.getLogger(__name__)

#: Part of every hash: raise it when the same input gives another bundle.
BUNDLER_VERSION: Final = "1"

#: Lock files that are looked for, the first one found wins.
LOCK_FILES: Final = ("uv.lock", "requirements.lock", "requirements.txt")

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

#: How pip and uv say that a requirement cannot be had as a wheel for the target.
_NO_WHEEL: Final = ("No matching distribution found", "no usable wheels", "no wheels with a matching")

#: glibc of Amazon Linux 2023 (Python 3.12 and later) and Amazon Linux 2 (before), as manylinux minor versions.
_AL2023_GLIBC, _AL2_GLIBC = 34, 26

#: The oldest manylinux tag by glibc version; pip does not widen a platform tag by itself (P3).
_OLDEST_GLIBC = 17

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
    def of(cls, *, runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> Target:
        """The platform of a function.

        Raises:
            BundlingError: The runtime is not a Python runtime.
        """
        if not runtime.name.startswith("python3."):
            raise BundlingError(
                f"runtime {runtime.name!r} is not a managed Python runtime, so there is no telling which wheels it "
                "needs; use lambda_.Runtime.PYTHON_3_13, or give code= yourself"
            )
        machine = "aarch64" if architecture.name == lambda_.Architecture.ARM_64.name else "x86_64"
        return cls(python_version=runtime.name.removeprefix("python"), machine=machine)

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
        lock = _lock_file(source, bundle.requirements)
        lock_text = "" if lock is None else _requirements_text(lock)
        for package in bundle.packages:
            _copy(_find_package(source, package), code, exclude)
        if not _names_distribution(lock_text, "sqs-tasks"):
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
        for number, text in enumerate(text for text in texts if _requirement_lines(text)):
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
        if not _install(requirements, output, target=target, project=staging.project):
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


def _install(requirements: Path, output: Path, *, target: Target, project: Path) -> bool:
    """Install wheels for the target; False when a requirement has none.

    It runs in the project's directory, where the installer finds the project's settings, such as a private index.
    """
    uv = find_uv()
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


def find_uv() -> str | None:
    """The path of uv, preferably the one beside this interpreter; None when there is none."""
    return shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def _lock_file(source: Path, requirements: Path | str | None) -> Path | None:
    if requirements is None:
        return next((source / name for name in LOCK_FILES if (source / name).is_file()), None)
    path = source / requirements
    if not path.is_file():
        raise BundlingError(f"there is no requirements file {str(path)!r}; give its path below {str(source)!r}")
    return path


def _requirements_text(lock: Path) -> str:
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


def _requirement_lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "--hash"))]


def _names_distribution(text: str, distribution: str) -> bool:
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in _requirement_lines(text))
    return any(re.sub(r"[-_.]+", "-", name[0]).lower() == distribution for name in names if name is not None)


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
