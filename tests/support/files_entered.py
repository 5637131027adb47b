"""Which files of the library run while something is done, in the order in which they are first entered."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import sqs_tasks

PACKAGE = Path(sqs_tasks.__file__).parent

#: The embedded SQS stands for AWS here, and is no part of a job's road.
NOT_ON_THE_ROAD = "local/"


class FilesEntered:
    """Notes each file of the library that a function is called in, in this thread and those started meanwhile.

    Imports are left out: what a module does when it is loaded is done once. Between ``pause()`` and ``resume()``
    nothing is noted.
    """

    def __init__(self) -> None:
        self._files: dict[str, None] = {}
        self._is_noting = True

    @property
    def files(self) -> list[str]:
        """The files, relative to the package, in the order in which they were first entered."""
        return list(self._files)

    def pause(self) -> None:
        """Note nothing until ``resume()``."""
        self._is_noting = False

    def resume(self) -> None:
        """Note again."""
        self._is_noting = True

    def _called(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if not self._is_noting or event != "call" or code.co_name == "<module>":
            return
        path = Path(code.co_filename)
        if path.is_relative_to(PACKAGE):
            name = path.relative_to(PACKAGE).as_posix()
            if not name.startswith(NOT_ON_THE_ROAD):
                self._files.setdefault(name)

    @contextmanager
    def watching(self) -> Iterator[FilesEntered]:
        """Note what is called within the block."""
        before = sys.getprofile(), threading.getprofile()
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield self
        finally:
            sys.setprofile(before[0])
            threading.setprofile(before[1])


@contextmanager
def files_entered(*, paused: bool = False) -> Iterator[FilesEntered]:
    """Note what the block enters; ask for ``.files`` afterwards."""
    entered = FilesEntered()
    if paused:
        entered.pause()
    with entered.watching():
        yield entered
