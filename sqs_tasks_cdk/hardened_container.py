"""A container that can write to ``/tmp`` alone, has no capabilities of the kernel, and is not root."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_ecs as ecs

#: The user of images that are built here; others need no entry for it in ``/etc/passwd``.
DEFAULT_USER: Final = "1000"

#: Where what is temporary goes. It lies on the task's own storage and is gone with the task.
_TEMPORARY: Final = "/tmp"  # noqa: S108  # the path in the container


def harden(
    definition: ecs.FargateTaskDefinition, container: ecs.ContainerDefinition, linux: ecs.LinuxParameters
) -> None:
    """Drop every capability, and give a container with a read-only root filesystem a ``/tmp`` of its own.

    The image must declare ``VOLUME /tmp``, or the mounted directory belongs to root and others cannot write to it.
    """
    linux.drop_capabilities(ecs.Capability.ALL)
    definition.add_volume(name="tmp")
    container.add_mount_points(
        ecs.MountPoint(container_path=_TEMPORARY, read_only=False, source_volume="tmp"),
    )
