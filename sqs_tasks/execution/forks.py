"""What belongs to a process and not to the children it forks: let go, or made anew, in each of them.

A fork has one thread, and a copy of all else: of locks that other threads hold, of sockets whose other end waits for
them to close, of event loops that nobody runs. Whoever has something of the kind says here what a child does about it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: How many forks lie between the first process and this one: another number is another process. A variable and no
#: function, since it is read for each job.
forks_so_far = 0

#: What is done in a child that has just been forked, in the order in which it was asked for.
_acts: dict[object, Callable[[], None]] = {}


def in_each_child(act: Callable[[], None]) -> Callable[[], None]:
    """Have a function called in every child that is forked from now on, as its first act; what it raises is ignored.

    Returns:
        A function that takes this back.
    """
    key = object()
    _acts[key] = act
    return lambda: _acts.pop(key, None) and None


@contextmanager
def closed_in_children(*sockets: socket.socket) -> Iterator[None]:
    """Have children close their copies of sockets that are opened for the length of a block.

    The other end of a connection learns that it is closed when nobody has it any more; a port is free then.
    """

    def close() -> None:
        for one in sockets:
            one.close()

    take_back = in_each_child(close)
    try:
        yield
    finally:
        take_back()


def _after_fork_in_child() -> None:
    global forks_so_far  # noqa: PLW0603 - it counts for the process
    forks_so_far += 1
    for act in tuple(_acts.values()):
        with contextlib.suppress(Exception):
            act()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork_in_child)
