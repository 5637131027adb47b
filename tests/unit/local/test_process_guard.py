"""The end of child processes when their parent is gone, however it went."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from sqs_tasks.local.process_guard import ProcessGuard

#: Starts a child that starts another one; both hold a connection to the test, and neither ends by itself.
PARENT = """
import subprocess, sys
from sqs_tasks.local.process_guard import guard

child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], start_new_session=True)
guard().add(child.pid)
if sys.argv[1] == "discard":
    guard().discard(child.pid)
print("ready", flush=True)
sys.stdin.read()
"""

CHILD = """
import os, signal, socket
IGNORE
line = socket.create_connection(("127.0.0.1", PORT))
os.fork()
line.sendall(b"x")
line.recv(1)
"""


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


def run_parent(listener, mode="add", ignore=""):
    child = CHILD.replace("PORT", str(listener.getsockname()[1])).replace("IGNORE", ignore)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, mode, child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout.readline() == "ready\n"
    line, _ = listener.accept()
    line.settimeout(30)
    assert line.recv(1)
    assert line.recv(1)  # from both of them
    return parent, line


@pytest.mark.parametrize("ignore", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_killed_parent_takes_its_children_and_theirs_along(listener, ignore):
    """In order where they listen, and by force where they do not."""
    parent, line = run_parent(listener, ignore=ignore)
    with parent, line:
        parent.kill()

        assert line.recv(1) == b""  # nobody holds the other end any more


def test_parent_that_ends_by_itself_takes_them_along_too(listener):
    """The pipe closes however it ends."""
    parent, line = run_parent(listener)
    with parent, line:
        parent.stdin.close()

        assert line.recv(1) == b""
        assert parent.wait(30) == 0


def test_group_that_was_discarded_is_let_alone(listener):
    """Its number may be another's by now."""
    parent, line = run_parent(listener, mode="discard")
    with parent, line:
        parent.kill()
        parent.wait()
        line.settimeout(0.5)

        with pytest.raises(TimeoutError):
            line.recv(1)

        line.sendall(b"yy")  # both end


def test_guard_that_was_killed_is_no_error():
    """What it guarded ends as it can."""
    guard = ProcessGuard()
    guard.add(os.getpid())
    guard.discard(os.getpid())
    os.kill(guard._process.pid, signal.SIGKILL)
    guard._process.wait()

    guard.add(1)
    guard.discard(1)
    guard.close()
