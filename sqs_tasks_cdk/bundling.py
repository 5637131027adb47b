"""A function's code, put together without Docker.

The bundle is: this release of ``sqs_tasks``, which has the handler in it, the packages of the application, and what the
lock file names as wheels for the function's own platform. Which wheels those are does not depend on the machine that
bundles (P3), and the hash is made of what goes in, not of what comes out, so that the same input is never deployed
twice (P4). A dependency without a wheel for Lambda is built in Docker if there is one.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import jsii
from aws_cdk import AssetHashType, BundlingOptions, ILocalBundling
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_ecr_assets import Platform

from sqs_tasks_cdk.bundle_source import BundleSource, Staging, check_function_python
from sqs_tasks_cdk.bundle_source import build as build_bundle
from sqs_tasks_cdk.defaults import HANDLER
from sqs_tasks_cdk.errors import BundlingError
from sqs_tasks_cdk.python_versions import check_image, check_python, image_python
from sqs_tasks_cdk.wheels import Target

logger = logging.getLogger(__name__)

#: The entry point in a bundle with a handler directory of the user's.
OWN_HANDLER: Final = "app.handler"

#: The image that container workers are built on unless another is named.
BASE_IMAGE: Final = "public.ecr.aws/docker/library/python:3.13.11-slim-bookworm"

#: The image of a container worker. One process that gets its signals itself, and is not root.
_DOCKERFILE: Final = """\
FROM {base_image}
WORKDIR /app
COPY requirements-*.txt ./
RUN {install}
COPY code/ ./
ENV PYTHONUNBUFFERED=1
# Mounted over when the root filesystem is read-only; without this line the mount would belong to root.
VOLUME /tmp
USER 1000
CMD ["python", "-m", "sqs_tasks", "worker"]
"""

#: The handler of code that a bundle made, where it is another than ours.
_HANDLERS: WeakKeyDictionary[lambda_.Code, str] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonBundle(BundleSource):
    """What goes into a function's code, and into the image of a container worker.

    Attributes:
        base_image: What container workers are built on: a tag with a version, or a digest. A tag may be moved; a digest
            (``python@sha256:...``) may not.
    """

    base_image: str = BASE_IMAGE

    @property
    def image_python(self) -> str | None:
        """The Python of container workers, as in ``"3.13"``; None if the name of their base image does not say it."""
        return image_python(self.base_image)

    def to_code(self, *, runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> lambda_.Code:
        """The bundle as a function's ``code``, built when it is synthesised and not built before.

        Raises:
            BundlingError: A package or the lock file is not there, names collide, or the project needs another Python.
        """
        target = Target.of(runtime=runtime, architecture=architecture)
        check_function_python(self, target)
        staging = Staging.of(self)
        code = lambda_.Code.from_asset(
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
        if self.handler is not None:
            _HANDLERS[code] = OWN_HANDLER
        return code

    def to_image(self, *, cpu_architecture: ecs.CpuArchitecture) -> ecs.ContainerImage:
        """An image of the same parts for a container worker, built by Docker when it is deployed and not before.

        Raises:
            BundlingError: A package or the lock file is not there, the base image has no version, or its Python is none
                that the project runs on.
        """
        check_image(self.base_image)
        check_python(
            Path(self.source),
            self.image_python,
            where=f"base_image {self.base_image!r}",
            instead="give PythonBundle(base_image=...) one that has it",
        )
        staging = Staging.of(self, for_container=True)
        install = " && ".join(f"pip install --no-cache-dir {options}" for options in staging.pip_options(".")) or "true"
        (staging.directory / "Dockerfile").write_text(
            _DOCKERFILE.format(base_image=self.base_image, install=install), encoding="utf-8"
        )
        is_arm = cpu_architecture == ecs.CpuArchitecture.ARM64
        return ecs.ContainerImage.from_asset(
            str(staging.directory), platform=Platform.LINUX_ARM64 if is_arm else Platform.LINUX_AMD64
        )

    def build(self, directory: Path | str, *, runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> bool:
        """Put the bundle together in a directory; False when a dependency has no wheel for the function's platform.

        Raises:
            BundlingError: A package or the lock file is not there, or the installer failed for another reason.
        """
        return build_bundle(
            Staging.of(self),
            Path(directory),
            target=Target.of(runtime=runtime, architecture=architecture),
            include_boto3=self.include_boto3,
        )


@jsii.implements(ILocalBundling)
class _LocalBundler:
    """What the CDK asks before it turns to Docker (P2)."""

    def __init__(self, *, staging: Staging, target: Target, include_boto3: bool) -> None:
        self._staging = staging
        self._target = target
        self._include_boto3 = include_boto3

    def try_bundle(self, output_dir: str, *_options: Any, **_more_options: Any) -> bool:
        """Build into ``output_dir``; False leaves it to Docker."""
        if build_bundle(self._staging, Path(output_dir), target=self._target, include_boto3=self._include_boto3):
            return True
        docker = os.environ.get("CDK_DOCKER", "docker")
        if shutil.which(docker) is None:
            raise BundlingError(
                f"a dependency has no wheel for Python {self._target.python_version} on {self._target.machine} Linux "
                f"(see above), and there is no {docker!r} to build it in; install Docker, choose a version that has "
                "wheels, try the other architecture=, or give code= yourself"
            )
        return False


def handler_of(code: lambda_.Code | None, bundle: PythonBundle | None) -> str:
    """The entry point in a function's code: ours, unless the code was bundled with a handler of the user's."""
    if code is not None:
        return _HANDLERS.get(code, HANDLER)
    return HANDLER if bundle is None or bundle.handler is None else OWN_HANDLER
