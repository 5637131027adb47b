"""How fast the embedded SQS is, beside MiniStack and moto.

    python benchmarks/local_sqs.py                  # all three, a table
    python benchmarks/local_sqs.py --only ours --backlog 200000

Each server runs in a process of its own and is driven by the same client: one kept-alive socket and hand-made requests,
so that the server is what is measured (boto3 alone costs half a millisecond a call). MiniStack and moto live in
environments of their own, ``.venv-ministack`` and ``.venv-moto``, made on the first run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOTO = "moto[server]==5.2.5"

#: The parts of a workload.
SLICES = 5

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_HANDLE = re.compile(rb'"ReceiptHandle": *"([^"]+)"')
_CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


#: Yields requests and is sent the answers.
Conversation = Generator[bytes, bytes, None]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server to measure."""

    name: str
    command: Callable[[int], list[str]]
    environment: Callable[[int], dict[str, str]] = lambda _: {}
    install: Callable[[], None] = lambda: None


class Client:
    """The least that can be called an SQS client: several kept-alive sockets and hand-made requests.

    While it reads an answer on one socket, requests are on their way on the others, so that the server always has
    something to do and its own speed is what shows. A server that closes its connections gets new ones.
    """

    def __init__(self, port: int, connections: int = 4) -> None:
        self._port = port
        self._sockets = [self._connect() for _ in range(connections)]
        self._head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-amz-json-1.0\r\n"
            "Authorization: AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/sqs/aws4_request, "
            "SignedHeaders=host, Signature=0\r\nX-Amz-Target: AmazonSQS."
        )

    @property
    def connections(self) -> int:
        """How many requests are on their way at once."""
        return len(self._sockets)

    def request(self, action: str, body: str) -> bytes:
        """A request, ready to be written."""
        return f"{self._head}{action}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    def run(self, conversations: list[Conversation]) -> None:
        """Hold conversations, one on each socket: send what each yields, and send it the answer."""
        for number, conversation in enumerate(conversations):
            self._sockets[number].sendall(next(conversation))
        going = dict(enumerate(conversations))
        while going:
            for number, conversation in tuple(going.items()):
                answer = self._read(number)
                try:
                    self._sockets[number].sendall(conversation.send(answer))
                except StopIteration:
                    del going[number]

    def call(self, action: str, **params: Any) -> dict[str, Any]:
        """Perform one action."""
        body = json.dumps(params, separators=(",", ":"))
        answers: list[dict[str, Any]] = []

        def conversation() -> Conversation:
            answers.append(json.loads((yield self.request(action, body)) or b"{}"))

        self.run([conversation()])
        return answers[0]

    def close(self) -> None:
        """Close the sockets."""
        for connection in self._sockets:
            connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _read(self, number: int) -> bytes:
        connection = self._sockets[number]
        received = self._more(connection)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more(connection)
        found = _CONTENT_LENGTH.search(received, 0, end)
        missing = int(found.group(1)) - (len(received) - end - 4) if found else 0
        while missing > 0:
            received += (chunk := self._more(connection))
            missing -= len(chunk)
        if not received.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(received.decode())
        if received.find(b"onnection: close", 0, end) > 0:
            connection.close()
            self._sockets[number] = self._connect()
        return received[end + 4 :]

    @staticmethod
    def _more(connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One workload on one server.

    Attributes:
        calls_per_second: Throughput of one client, in the middle one of the slices by speed, so that what else the
            machine does in the meantime hardly counts.
        cpu_ms: Milliseconds of the server's CPU a call, over all slices.
    """

    calls_per_second: float
    cpu_ms: float


def send_batches(client: Client, url: str, count: int) -> int:
    """Send that many batches of ten; each message has a body of 100 bytes and two attributes."""
    entries = [
        {
            "Id": str(number),
            "MessageBody": "x" * 100,
            "MessageAttributes": {
                "JobName": {"DataType": "String", "StringValue": "send_email"},
                "ContentType": {"DataType": "String", "StringValue": "json"},
            },
        }
        for number in range(10)
    ]
    body = json.dumps({"QueueUrl": url, "Entries": entries}, separators=(",", ":"))
    request = client.request("SendMessageBatch", body)
    each = count // client.connections

    def conversation() -> Conversation:
        for _ in range(each):
            answer = yield request
            assert answer.count(b'"MessageId"') == 10

    client.run([conversation() for _ in range(client.connections)])
    return each * client.connections


def receive_and_delete(client: Client, url: str, count: int) -> int:
    """Receive and delete ten, that many times; a pair counts as one call."""
    wanted = {"MaxNumberOfMessages": 10, "AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    body = json.dumps({"QueueUrl": url, **wanted}, separators=(",", ":"))
    receive = client.request("ReceiveMessage", body)
    each = count // client.connections

    def conversation() -> Conversation:
        for _ in range(each):
            handles = _HANDLE.findall((yield receive))
            assert len(handles) == 10
            entries = ",".join(
                f'{{"Id":"{at}","ReceiptHandle":"{handle.decode()}"}}' for at, handle in enumerate(handles)
            )
            answer = yield client.request("DeleteMessageBatch", f'{{"QueueUrl":"{url}","Entries":[{entries}]}}')
            assert answer.count(b'"Id"') == 10

    client.run([conversation() for _ in range(client.connections)])
    return each * client.connections


def measure(pid: int, workload: Callable[[Client, str, int], int], client: Client, url: str, count: int) -> Measured:
    """Run a workload in slices, and look at the clock and the server's CPU before and after."""
    cpu, calls, speeds = cpu_seconds(pid), 0, []
    for _ in range(SLICES):
        start = time.perf_counter()
        done = workload(client, url, count // SLICES)
        speeds.append(done / (time.perf_counter() - start))
        calls += done
    return Measured(calls_per_second=statistics.median(speeds), cpu_ms=(cpu_seconds(pid) - cpu) / calls * 1000)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6


@contextlib.contextmanager
def running(server: Server) -> Iterator[tuple[int, int]]:
    """A running server: its process id and port."""
    server.install()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            server.command(port),
            env={**os.environ, "TMPDIR": directory, **server.environment(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    client = Client(port)
                    client.call("ListQueues")
                    client.close()
                    break
                except (OSError, RuntimeError):
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise
                    time.sleep(0.1)
            yield process.pid, port
        finally:
            process.terminate()
            process.wait(10)


def install(command: Path, *requirements: str) -> None:
    """Make the virtual environment that a command lives in, when the command is missing."""
    if command.exists():
        return
    directory = command.parents[1]
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    subprocess.run([str(directory / "bin" / "pip"), "install", "-q", *requirements], check=True)


MINISTACK_COMMAND = ROOT / ".venv-ministack" / "bin" / "ministack"
MOTO_COMMAND = ROOT / ".venv-moto" / "bin" / "moto_server"

OURS = Server(
    name="ours",
    command=lambda port: [sys.executable, "-c", f"from sqs_tasks.local.server import serve; serve(port={port})"],
)
MINISTACK = Server(
    name="MiniStack",
    command=lambda _: [str(MINISTACK_COMMAND)],
    environment=lambda port: {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
    },
    install=lambda: install(MINISTACK_COMMAND, "-r", str(ROOT / "requirements-ministack.lock")),
)
MOTO_SERVER = Server(
    name="moto",
    command=lambda port: [str(MOTO_COMMAND), "-H", "127.0.0.1", "-p", str(port)],
    install=lambda: install(MOTO_COMMAND, MOTO),
)


def run(server: Server, backlog: int, rounds: int) -> dict[str, Any]:
    """All workloads on one server, on top of a backlog."""
    with running(server) as (pid, port):
        client = Client(port)
        url = client.call("CreateQueue", QueueName="bench")["QueueUrl"]
        if backlog:
            send_batches(client, url, backlog // 10)
        sent = measure(pid, send_batches, client, url, rounds)
        taken = measure(pid, receive_and_delete, client, url, rounds)
        result = {"sent": sent, "taken": taken, "rss_mb": rss_mb(pid)}
        client.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure local SQS servers.")
    parser.add_argument("--only", choices=["ours", "ministack", "moto"], action="append")
    parser.add_argument("--rounds", type=int, default=500, help="calls of each workload")
    parser.add_argument("--backlog", type=int, action="append", help="messages in the queue before measuring")
    options = parser.parse_args()
    chosen = options.only or ["ours", "ministack", "moto"]
    #: moto's receive walks the whole queue: a call takes most of a second at a backlog of 2,000.
    plan = [
        (OURS, options.backlog or [0, 2_000, 200_000], options.rounds * 4),
        (MINISTACK, options.backlog or [0, 2_000], options.rounds),
        (MOTO_SERVER, options.backlog or [0], max(10 * SLICES, options.rounds // 10)),
    ]
    print(f"{'server':<10}{'backlog':>9}{'send x10':>12}{'cpu':>9}{'recv+del x10':>14}{'cpu':>9}{'RSS':>9}")
    first: dict[str, tuple[float, float]] = {}
    for server, backlogs, rounds in plan:
        if server.name.lower() not in chosen:
            continue
        for backlog in backlogs:
            result = run(server, backlog, rounds)
            sent, taken = result["sent"], result["taken"]
            print(
                f"{server.name:<10}{backlog:>9}{sent.calls_per_second:>10.0f}/s{sent.cpu_ms:>7.3f}ms"
                f"{taken.calls_per_second:>12.0f}/s{taken.cpu_ms:>7.3f}ms{result['rss_mb']:>7.0f}MB",
                flush=True,
            )
            first.setdefault(server.name, (sent.calls_per_second, taken.calls_per_second))
    ours = first.pop(OURS.name, None)
    for name, (sends, pairs) in first.items() if ours else ():
        print(f"ours is {ours[0] / sends:.1f} times {name} in sends, {ours[1] / pairs:.1f} times in receive+delete")


if __name__ == "__main__":
    main()
