"""The CDK app of ``examples/stack``, with code for this machine and an image that needs no Docker.

Context: ``code`` is the path of a bundle.
"""

from __future__ import annotations

from aws_cdk import App
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_

from examples.stack.app import StudioStack

app = App()
stack = StudioStack(
    app,
    "Studio",
    code=lambda_.Code.from_asset(app.node.get_context("code")),
    runtime=lambda_.Runtime.PROVIDED_AL2023,
    image=ecs.ContainerImage.from_registry("registry.example/studio:1"),
)
# The emulator has no Application Auto Scaling; tests of the template hold it.
stack.tasks.workers["films"].node.try_remove_child("Scaling")
app.synth()
