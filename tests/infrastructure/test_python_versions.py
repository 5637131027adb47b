"""The Python of a bundle: the one that the project is for, in functions and in images, and the same tomorrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.bundling import BASE_IMAGE, PythonBundle
from sqs_tasks_cdk.errors import BundlingError
from sqs_tasks_cdk.python_versions import check_image, image_python
from sqs_tasks_cdk.stack import SqsTasks
from tests.support.manifests import manifest, queue, task
from tests.support.templates import warnings

ARM = lambda_.Architecture.ARM_64


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that is for Python 3.12 and 3.13."""
    (tmp_path / "shop.py").write_text("env = None")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.12.4,<3.14"\n'
    )
    return tmp_path


@pytest.mark.parametrize(
    ("image", "python"),
    [
        (BASE_IMAGE, "3.13"),
        ("python:3.13-slim@sha256:0", "3.13"),
        ("python@sha256:0", None),
        ("registry.example:5000/shop/base:v2", None),
        ("public.ecr.aws/lambda/python:3.14", "3.14"),
        ("shop-python:2", None),
    ],
)
def test_images_with_a_version_are_taken(image: str, python: str | None) -> None:
    """A version or a digest says which image it is; the name of Python's own says its Python."""
    check_image(image)

    assert image_python(image) == python


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("python", "has no tag"),
        ("python:latest", "has the tag 'latest'"),
        ("python:3", "has the tag '3'"),
        ("python:slim-bookworm", "has the tag 'slim-bookworm'"),
        ("registry.example:5000/shop/base", "has no tag"),
    ],
)
def test_images_that_move_are_refused(project: Path, image: str, says: str) -> None:
    """What is another image tomorrow is refused at synth, with what to give in its place."""
    bundle = PythonBundle(source=project, packages=["shop"], base_image=image)

    with pytest.raises(BundlingError, match=rf"^base_image '{image}' {says}, .* give a tag with a version"):
        bundle.to_image(cpu_architecture=ecs.CpuArchitecture.ARM64)


def test_python_that_the_project_excludes_is_refused(project: Path) -> None:
    """What ``requires-python`` says holds for functions and for containers."""
    bundle = PythonBundle(source=project, packages=["shop"], base_image="python:3.14.2-slim")
    needs = r"needs '>=3.12.4,<3.14' \(requires-python\)"

    with pytest.raises(BundlingError, match=rf"^base_image 'python:3.14.2-slim' has Python 3.14, .* {needs}"):
        bundle.to_image(cpu_architecture=ecs.CpuArchitecture.ARM64)
    with pytest.raises(BundlingError, match=rf"^the runtime python3.11 has Python 3.11, .* {needs}"):
        bundle.to_code(runtime=lambda_.Runtime.PYTHON_3_11, architecture=ARM)
    for fitting in (lambda_.Runtime.PYTHON_3_12, lambda_.Runtime.PYTHON_3_13):
        bundle.to_code(runtime=fitting, architecture=ARM)


def test_requires_python_that_is_no_list_of_versions_is_named(project: Path) -> None:
    """A typing error there is an error here, and not a check that is left out."""
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace(">=3.12.4,<3.14", "3.12 or so"))

    with pytest.raises(BundlingError, match=r"has requires-python = '3\.12 or so', which is no list of versions"):
        PythonBundle(source=project, packages=["shop"]).to_code(runtime=lambda_.Runtime.PYTHON_3_13, architecture=ARM)


@pytest.mark.parametrize(("runtime", "is_warned"), [("PYTHON_3_12", True), ("PYTHON_3_13", False)])
def test_functions_and_services_on_two_pythons_are_warned_of(
    project: Path, stack: Stack, runtime: str, is_warned: bool
) -> None:
    """One registry and one lock file on two Pythons is said, with what changes either."""
    settings: dict[str, Any] = {
        "lambda_defaults": {
            "code": lambda_.Code.from_inline("x"),
            "handler": "x.y",
            "runtime": getattr(lambda_.Runtime, runtime),
        },
        "fargate_defaults": {"bundle": PythonBundle(source=project, packages=["shop"])},
    }
    registry = manifest(queue("emails", tasks=[task()]), queue("films", runs_on="fargate", tasks=[task("render")]))

    SqsTasks(stack, "Tasks", manifest=registry, **settings)

    said = [text for text in warnings(stack) if "services on Python 3.13" in text]
    assert bool(said) is is_warned
