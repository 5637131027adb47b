"""The embedded SQS under eight processes, some of which are killed.

Every process sends its share of the messages and receives whatever comes, on a standard and a FIFO queue, and writes
down what it does before it does it. Some die by SIGKILL and are replaced. Afterwards the notes are read: nothing that
was accepted is lost, nobody got a message inside another's visibility timeout, and no group was out of order.
"""

from __future__ import annotations

import http.client
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Messages; more for a longer look: SQS_TASKS_STRESS_MESSAGES=100000.
MESSAGES = int(os.environ.get("SQS_TASKS_STRESS_MESSAGES", "40000"))
PROCESSES = 8
KILLED = 4
GROUPS = 40
VISIBILITY_SECONDS = 3

#: Batches each process sends: two in three to the standard queue.
BATCHES = MESSAGES // 10 // PROCESSES


class Client:
    """A lean SQS client: one kept-alive connection, no signature."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(self, action: str, **params: Any) -> dict[str, Any]:
        headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
        self._connection.request("POST", "/", json.dumps(params), headers)
        response = self._connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        assert response.status == 200, answer
        return answer

    def close(self) -> None:
        self._connection.close()


class Notes:
    """What a process did, one line each, written with one system call so that a kill loses nothing."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, **note: Any) -> None:
        os.write(self._file, json.dumps(note).encode() + b"\n")


def work(port: int, notes_path: str, stop_path: str, share: str, first: int, last: int, end: int) -> None:
    """A process of the test: send batches first to last of a share, and consume until told to stop.

    It dies by its own hand, with messages in the other, as soon as it has some after it sent the batch called ``end``.
    """
    call, notes, stop = Client(port), Notes(Path(notes_path)), Path(stop_path)
    standard = call("GetQueueUrl", QueueName="standard")["QueueUrl"]
    fifo = call("GetQueueUrl", QueueName="orders.fifo")["QueueUrl"]
    batch = first
    while True:
        if batch < last:
            send(call, notes, fifo if batch % 3 == 0 else standard, f"{share}-{os.getpid()}-{batch}", batch)
            batch += 1
        elif stop.exists():
            return
        for url in (standard, fifo):
            consume(call, notes, url, wait=0 if batch < last else 1, die=0 <= end <= batch)


def send(call: Client, notes: Notes, url: str, name: str, batch: int) -> None:
    entries = []
    for number in range(10):
        entry = {"Id": str(number), "MessageBody": f"{name}-{number}"}
        if url.endswith(".fifo"):
            entry |= {"MessageGroupId": f"g{random.randrange(GROUPS)}", "MessageDeduplicationId": f"{name}-{number}"}
        entries.append(entry)
    answer = call("SendMessageBatch", QueueUrl=url, Entries=entries)
    assert len(answer["Successful"]) == 10
    notes.write(sent=[entry["MessageBody"] for entry in entries], batch=batch)


def consume(call: Client, notes: Notes, url: str, *, wait: int, die: bool) -> None:
    asked = time.monotonic()
    messages = call(
        "ReceiveMessage",
        QueueUrl=url,
        MaxNumberOfMessages=10,
        WaitTimeSeconds=wait,
        AttributeNames=["MessageGroupId", "SequenceNumber"],
    ).get("Messages", [])
    if not messages:
        return
    got = time.monotonic()
    shown = [
        (m["Body"], m.get("Attributes", {}).get("MessageGroupId"), m.get("Attributes", {}).get("SequenceNumber"))
        for m in messages
    ]
    notes.write(received=shown, asked=asked, got=got)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)
    # Noted before it is done: a kill in between must not look as if a group had been out of order.
    notes.write(deleting=[body for body, _, _ in shown], at=time.monotonic())
    entries = [{"Id": str(at), "ReceiptHandle": m["ReceiptHandle"]} for at, m in enumerate(messages)]
    answer = call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
    # On the FIFO queue a handle that timed out is refused; on the standard queue every delete works.
    done = {entry["Id"] for entry in answer.get("Successful", [])}
    notes.write(deleted=[body for at, (body, _, _) in enumerate(shown) if str(at) in done])


@pytest.fixture
def port() -> Iterator[int]:
    """A server in a process of its own."""
    code = "from sqs_tasks.local.server import serve; serve(port=0, on_ready=lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline().rpartition(":")[2])
        server.terminate()


def test_nothing_is_lost_doubled_or_out_of_order(port: int, tmp_path: Path) -> None:
    """With 40,000 messages (100,000 in a soak), eight processes, and four of them killed on the way."""
    call = Client(port)
    visibility = {"VisibilityTimeout": str(VISIBILITY_SECONDS)}
    call("CreateQueue", QueueName="standard", Attributes=visibility)
    call("CreateQueue", QueueName="orders.fifo", Attributes={**visibility, "FifoQueue": "true"})
    stop = tmp_path / "stop"

    # Of those that die, every other one does so with messages in hand, and the rest wherever they are.
    ends = {share: BATCHES // 8 * (share + 1) for share in range(0, KILLED, 2)}
    workers = [start(port, tmp_path, stop, share, 0, ends.get(share, -1)) for share in range(PROCESSES)]
    for share in range(KILLED):
        if share not in ends:
            wait_for_notes(tmp_path, share, minimum=BATCHES // 8 * (share + 1))
            workers[share].send_signal(signal.SIGKILL)
        assert workers[share].wait(240) == -signal.SIGKILL
        workers[share] = start(port, tmp_path, stop, share, batches_sent(tmp_path, share), -1)
    wait_until_drained(call, workers, stop)
    stop.touch()
    assert [worker.wait(30) for worker in workers] == [0] * PROCESSES
    call.close()

    notes = [json.loads(line) for path in tmp_path.glob("*.notes") for line in path.read_text().splitlines()]
    sent = {body for note in notes for body in note.get("sent", ())}
    deleting = {body for note in notes for body in note.get("deleting", ())}
    assert len(sent) >= MESSAGES - KILLED * 10
    assert sent <= deleting
    assert_no_message_was_in_two_hands(notes)
    assert_groups_were_in_order(notes)


def start(port: int, directory: Path, stop: Path, share: int, first: int, end: int) -> subprocess.Popen[bytes]:
    notes = directory / f"{share}-{first}.notes"
    arguments = [str(port), str(notes), str(stop), str(share), str(first), str(BATCHES), str(end)]
    return subprocess.Popen([sys.executable, __file__, *arguments])


def batches_sent(directory: Path, share: int) -> int:
    """The batch after the last one that this share's process noted; one that was on its way is sent anew."""
    lines = (directory / f"{share}-0.notes").read_text().splitlines()
    return max((json.loads(line)["batch"] for line in lines if '"batch"' in line), default=-1) + 1


def wait_for_notes(directory: Path, share: int, minimum: int) -> None:
    path = directory / f"{share}-0.notes"
    deadline = time.monotonic() + 240
    while not path.exists() or path.read_bytes().count(b"\n") < minimum:
        assert time.monotonic() < deadline, f"process {share} makes no progress"
        time.sleep(0.02)


def wait_until_drained(call: Client, workers: list[subprocess.Popen[bytes]], stop: Path) -> None:
    """Until everything is sent and deleted: both queues empty, twice in a row."""
    urls = call("ListQueues")["QueueUrls"]
    deadline = time.monotonic() + 120
    empty = 0
    while empty < 10:
        assert time.monotonic() < deadline, "the queues do not drain"
        assert all(worker.poll() is None for worker in workers), "a process failed"
        left = 0
        for url in urls:
            found = call("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
            left += int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])
        empty = empty + 1 if not left else 0
        time.sleep(0.1)


def assert_no_message_was_in_two_hands(notes: list[dict[str, Any]]) -> None:
    """A message received a second time came back only after the first receiver's timeout."""
    receives: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for note in notes:
        for body, _, _ in note.get("received", ()):
            # It was handed out between the two.
            receives[body].append((note["asked"], note["got"]))
    again = 0
    for body, times in receives.items():
        times.sort()
        for (earliest, _), (_, latest) in itertools.pairwise(times):
            again += 1
            assert latest >= earliest + VISIBILITY_SECONDS, f"{body} was in two hands"
    assert again, "nobody died with a message in hand: the test showed nothing"


def assert_groups_were_in_order(notes: list[dict[str, Any]]) -> None:
    """Whoever received a message, all earlier ones of its group were being deleted, or came with it."""
    deleting: dict[str, float] = {}
    numbers: dict[str, dict[int, str]] = defaultdict(dict)
    for note in notes:
        for body in note.get("deleting", ()):
            deleting[body] = min(note["at"], deleting.get(body, note["at"]))
        for body, group, number in note.get("received", ()):
            if group:
                numbers[group][int(number)] = body
    orders = {group: sorted(known) for group, known in numbers.items()}
    for note in notes:
        together = {body for body, _, _ in note.get("received", ())}
        for _, group, number in note.get("received", ()):
            if not group:
                continue
            for earlier in reversed([known for known in orders[group] if known < int(number)][-30:]):
                body = numbers[group][earlier]
                assert body in together or deleting.get(body, math.inf) <= note["got"], (
                    f"{body} was overtaken in {group}"
                )


if __name__ == "__main__":
    port_, notes_, stop_, share_, first_, last_, end_ = sys.argv[1:]
    work(int(port_), notes_, stop_, share_, int(first_), int(last_), int(end_))
