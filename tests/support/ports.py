"""Ports for servers whose port has to be known before they start."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

# Below the range from which systems answer "any free port" and choose the near end of a connection (32768 on Linux, 49152 elsewhere):
# what another test opens meanwhile is never here. Each process of the test run begins elsewhere.
_candidates = itertools.count(20_000 + os.getpid() * 37 % 10_000)


def free_ports(count: int = 1) -> int:
    """The first of this many free ports that follow each other; no two calls of a process give the same."""
    while True:
        first = next(_candidates)
        with contextlib.suppress(OSError), contextlib.ExitStack() as listeners:
            for port in range(first, first + count):
                listeners.enter_context(socket.create_server(("127.0.0.1", port)))
                next(_candidates)
            return first
