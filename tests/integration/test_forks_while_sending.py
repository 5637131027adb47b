"""Processes that fork while they send: a child loses none of its jobs, sends none of its parent's, and does not hang.

Each program is a process of its own, since pytest's threads must not be forked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

#: A registry, and what the programs below have in common.
SETUP = """
import faulthandler, os, sys, threading, warnings
warnings.simplefilter("ignore")
from sqs_tasks import SQSEnv
env = SQSEnv()
queue = env.queue("jobs", dead_letter_queue=None)

@queue.processor("resize")
def resize(picture: int) -> None: ...

def in_child(work):
    pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(10, exit=True)
        try:
            work()
        except BaseException as error:
            print("child:", repr(error), file=sys.stderr, flush=True)
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with LocalSQSServer() as server:
        env = SQSEnv(endpoint_url=server.endpoint_url, region_name="us-east-1")
        env.queue("jobs", dead_letter_queue=None)
        env.create_queues()
        yield server.endpoint_url


def pictures_after(program: str, endpoint: str) -> list[int]:
    """Runs a program to its end and gives what it and its children have sent."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + program],
        env={**os.environ, "AWS_ENDPOINT_URL_SQS": endpoint, "AWS_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    queue = SQSEnv(endpoint_url=endpoint, region_name="us-east-1").queue("jobs", dead_letter_queue=None)
    found: list[int] = []
    while messages := queue.get_raw_messages(1):
        found += [json.loads(message.body)["picture"] for message in messages]
    return sorted(found)


def test_a_child_forked_in_a_batch_sends_its_own_jobs(endpoint: str) -> None:
    """The batch is its parent's: what the child adds leaves at once (sentry-python#6163)."""
    program = """
with resize.batch():
    resize.delay(0)
    for picture in (1, 2, 3):
        assert in_child(lambda: resize.delay(picture)) == 0
"""

    assert pictures_after(program, endpoint) == [0, 1, 2, 3]


def test_a_child_that_leaves_its_parents_batch_sends_nothing_of_it_again(endpoint: str) -> None:
    """Parent and child both run to the end of the block."""
    program = """
with resize.batch():
    resize.delay(0)
    pid = os.fork()
    if not pid:
        resize.delay(1)
if not pid:
    os._exit(0)
os.waitpid(pid, 0)
"""

    assert pictures_after(program, endpoint) == [0, 1]


def test_a_child_may_open_a_batch_of_its_own_in_its_parents(endpoint: str) -> None:
    """It is flushed at its own end, in the child."""
    program = """
def several():
    with resize.batch():
        resize.delay(1)
        resize.delay(2)

with resize.batch():
    resize.delay(0)
    assert in_child(several) == 0
"""

    assert pictures_after(program, endpoint) == [0, 1, 2]


@pytest.mark.parametrize(
    "at",
    [
        "boto3.Session.client",
        "sqs_tasks.transport.lean_client.LeanClient.__init__",
        "sqs_tasks.sending.outbox.Outbox.__init__",
    ],
)
def test_a_fork_while_another_thread_makes_what_is_shared(endpoint: str, at: str) -> None:
    """A lock that is held at the fork stays held in the child for ever; so the fork waits until it is free."""
    program = f"""
import boto3, importlib, time
import sqs_tasks.sending.outbox, sqs_tasks.transport.lean_client
at = {at!r}.split(".")
os.environ["SQS_TASKS_CLIENT"] = "boto3" if at[0] == "boto3" else "lean"
owner = sys.modules[".".join(at[:-2])] if at[0] == "sqs_tasks" else boto3
owner = getattr(owner, at[-2])
original, inside = getattr(owner, at[-1]), threading.Event()

def slow(*args, **kwargs):
    inside.set()
    time.sleep(0.3)
    return original(*args, **kwargs)

setattr(owner, at[-1], slow)
thread = threading.Thread(target=lambda: resize.delay(1))
thread.start()
assert inside.wait(10)
assert in_child(lambda: resize.delay(2)) == 0
thread.join()
"""

    assert pictures_after(program, endpoint) == [1, 2]


def test_a_fork_while_another_thread_looks_at_the_types_of_tasks(endpoint: str) -> None:
    """The table of Enums and dataclasses has a lock too."""
    program = """
import enum, time
from sqs_tasks.wire import annotation_types

class Size(enum.Enum):
    SMALL = 1

original, inside = annotation_types.types_in_signature, threading.Event()

def slow(function):
    inside.set()
    time.sleep(0.3)
    return original(function)

annotation_types.types_in_signature = slow

@queue.processor("sized")
def sized(picture: int, size: Size) -> None: ...

thread = threading.Thread(target=lambda: sized.delay(1, Size.SMALL))
thread.start()
assert inside.wait(10)
assert in_child(lambda: sized.delay(2, Size.SMALL)) == 0
thread.join()
"""

    assert pictures_after(program, endpoint) == [1, 2]
