"""examples/marketplace with the embedded SQS: a web application, a relay, and a worker that is a process of its own."""

from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.transactions.outbox.relay import Relay
from sqs_tasks.transactions.outbox.sqlalchemy_database import SQLAlchemyDatabase
from tests.support.worker_processes import client, environment

ROOT = Path(__file__).resolve().parents[2]
APP = "examples.marketplace.environment:env"

#: Set when a mail has come.
ARRIVED = threading.Event()


class Seller(BaseHTTPRequestHandler):
    """A seller's endpoint."""

    received: list[bytes]

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


class Mailbox(socketserver.StreamRequestHandler):
    """As much of a mail server as takes a mail."""

    mails: list[str]

    def handle(self) -> None:
        self.say("220 ready")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "DATA":
                self.say("354 go on")
                text = ""
                while (part := self.rfile.readline().decode()) != ".\r\n":
                    text += part
                self.mails.append(text)
                ARRIVED.set()
            self.say("221 bye" if verb == "QUIT" else "250 ok")
            if verb == "QUIT":
                return

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def listening(server: socketserver.TCPServer) -> Iterator[str]:
    """A server that serves; gives its address."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def worker(**variables: str) -> Iterator[None]:
    """A worker for all queues, in a process of its own, until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sqs_tasks", "worker", APP, "--wait-seconds", "1"],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield
    finally:
        process.terminate()
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log


def test_order_reaches_the_seller_and_the_customer(tmp_path, monkeypatch):
    """A request, the relay, the worker with all its queues, and what its jobs add in their transactions."""
    monkeypatch.setenv("MARKETPLACE_DATABASE", f"sqlite:///{tmp_path}/marketplace.sqlite3")
    from fastapi.testclient import TestClient

    from examples.marketplace.app import app
    from examples.marketplace.database import engine
    from examples.marketplace.environment import env

    monkeypatch.setattr(Seller, "received", [], raising=False)
    monkeypatch.setattr(Mailbox, "mails", [], raising=False)
    database = str(engine.url)  # that of the example's own tests, if they came first
    env.load_tasks()
    with (
        LocalSQSServer() as server,
        listening(ThreadingHTTPServer(("127.0.0.1", 0), Seller)) as seller,
        listening(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox)) as smtp,
    ):
        sqs = client(server.endpoint_url)
        with env.connected_to(sqs), TestClient(app) as web:
            env.create_queues()
            web.post("/endpoints", params={"url": f"http://{seller}/", "secret": "s3cret"})
            order = web.post("/orders", params={"email": "a@example.com", "article": "book", "cents": 900}).json()
            variables = environment(server.endpoint_url, MARKETPLACE_DATABASE=database, MARKETPLACE_SMTP=smtp)
            relay, deadline = Relay(env, SQLAlchemyDatabase(engine)), time.monotonic() + 60
            with worker(**variables):
                while not (Mailbox.mails and Seller.received) and time.monotonic() < deadline:
                    relay.run_once()
                    ARRIVED.wait(0.05)

            assert web.get(f"/orders/{order['order']}").json()["state"] == "packed"
            assert Seller.received == [f'{{"order": {order["order"]}}}'.encode()]
            (mail,) = Mailbox.mails
            assert "Your book is on its way" in mail
        sqs.close()
    engine.dispose()
