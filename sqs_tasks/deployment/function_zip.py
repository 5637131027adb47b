"""The code of a function as a zip file: the same input gives the same bytes.

What goes in is decided where the CDK stack decides it, in ``sqs_tasks_cdk.bundle_source``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqs_tasks.errors import ConfigurationError

#: The earliest time that a zip file can hold; times of files differ from one checkout to the next.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)

#: Regular files that everybody may read, and run where the owner may; Lambda runs as another user.
_FILE, _EXECUTABLE = 0o100644, 0o100755


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionZip:
    """A zip file that was written.

    Attributes:
        path: The file.
        files: How many files are in it.
        size: Its bytes.
        sha256: Its SHA-256 in Base64, as Lambda's ``CodeSha256`` and Terraform's ``source_code_hash`` have it.
    """

    path: str
    files: int
    size: int
    sha256: str


def write_function_zip(
    output: Path,
    *,
    app: str,
    python: str,
    architecture: str,
    source: Path,
    packages: Sequence[str] = (),
    requirements: Path | None = None,
    without_requirements: bool = False,
    include_boto3: bool = False,
) -> FunctionZip:
    """Bundle an application for Lambda and write it to a zip file.

    Args:
        output: The file.
        app: Where the application's environment is, as ``module:attribute``; it is not imported.
        python: The function's Python, as in ``3.13``.
        architecture: ``arm64`` or ``x86_64``.
        source: The project's directory.
        packages: The top-level packages and modules to ship; that of ``app`` when empty.
        requirements: The lock file; found in ``source`` when left out.
        without_requirements: Install nothing of what the project depends on.
        include_boto3: Ship the locked boto3 and not use the runtime's.

    Raises:
        ConfigurationError: A package or a lock file is missing, names collide, or a dependency has no wheel.
    """
    from sqs_tasks_cdk.bundle_source import BundleSource, Staging, build, check_function_python
    from sqs_tasks_cdk.environment import app_package
    from sqs_tasks_cdk.errors import BundlingError
    from sqs_tasks_cdk.wheels import Target

    parts = BundleSource(
        source=source,
        packages=list(packages) or [app_package(app)],
        requirements=requirements,
        without_requirements=without_requirements,
        include_boto3=include_boto3,
    )
    try:
        target = Target.named(runtime=f"python{python}", architecture=architecture)
        check_function_python(parts, target)
        with tempfile.TemporaryDirectory(prefix="sqs-tasks-zip-") as directory:
            built = Path(directory)
            if not build(Staging.of(parts), built, target=target, include_boto3=include_boto3):
                raise ConfigurationError(
                    f"a dependency has no wheel for Python {python} on {architecture} Linux (see above); choose a "
                    "version that has wheels, try the other --arch, or bundle with the CDK, which builds it in Docker"
                )
            return _write(built, output)
    except BundlingError as error:
        raise ConfigurationError(str(error)) from error


def _write(directory: Path, output: Path) -> FunctionZip:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    output.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first: a build that dies half way leaves the former file.
    unfinished = output.with_name(f".{output.name}.unfinished")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix(), _NO_TIME)
            entry.create_system = 3  # Unix, wherever it is made: the rights below are read then
            entry.external_attr = (_EXECUTABLE if os.access(path, os.X_OK) else _FILE) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    unfinished.replace(output)
    content = output.read_bytes()
    return FunctionZip(
        path=str(output),
        files=len(files),
        size=len(content),
        sha256=base64.b64encode(hashlib.sha256(content).digest()).decode(),
    )
