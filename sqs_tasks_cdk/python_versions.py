"""Which Python a project is for, and which one an image has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from sqs_tasks_cdk.errors import BundlingError

#: The name of Python's own image with the version that its tag begins with: ``…/library/python:3.13.11-slim``.
_PYTHON_IMAGE: Final = re.compile(r"(?:^|/)python:(\d+\.\d+)")

#: A tag that says a version: ``v2``, ``2026.1``; others mean another image every week. Python's own say two numbers.
_VERSION: Final = re.compile(r"\d")


def image_python(image: str) -> str | None:
    """The Python of an image by its name, as in ``"3.13"``; None if the name does not say it."""
    found = _PYTHON_IMAGE.search(image.partition("@")[0])
    return None if found is None else found[1]


def check_image(image: str) -> None:
    """Refuse an image that is another one tomorrow, under the same name.

    Raises:
        BundlingError: It has neither a digest nor a tag with a version.
    """
    name, _, digest = image.partition("@")
    own, _, tag = name.rpartition("/")[2].partition(":")
    is_fixed = image_python(name) is not None if own == "python" else _VERSION.search(tag) is not None
    if not digest and not is_fixed:
        raise BundlingError(
            f"base_image {image!r} has {f'the tag {tag!r}' if tag else 'no tag'}, which is another image tomorrow, and "
            "the same code would then run on another Python; give a tag with a version, as in "
            "'public.ecr.aws/docker/library/python:3.13-slim', or a digest ('…@sha256:…')"
        )


def check_python(project: Path, version: str | None, *, where: str, instead: str) -> None:
    """Refuse to put a project where its ``requires-python`` says that it does not run.

    Args:
        project: The project's directory.
        version: The Python there, as in ``"3.13"``; None if it is unknown, which is not checked.
        where: What has this Python, for the error.
        instead: What to change, for the error.

    Raises:
        BundlingError: The project needs another Python.
    """
    path = project / "pyproject.toml"
    if version is None or not path.is_file():
        return
    try:
        wanted = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}).get("requires-python")
    except tomllib.TOMLDecodeError as error:
        raise BundlingError(f"{str(path)!r} is not TOML ({error}); correct it") from error
    if not wanted:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # few projects are bundled, and fewer say it

    try:
        # The last patch release there may be: '>=3.13.2' is no reason to refuse 3.13.
        fits = SpecifierSet(wanted).contains(f"{version}.99")
    except InvalidSpecifier as error:
        raise BundlingError(f"{str(path)!r} has requires-python = {wanted!r}, which is no list of versions") from error
    if not fits:
        raise BundlingError(
            f"{where} has Python {version}, and the project in {str(project)!r} needs {wanted!r} (requires-python); "
            f"{instead}, or correct requires-python"
        )
