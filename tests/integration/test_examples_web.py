"""examples/fastapi_shop and examples/flask_shop: their jobs in a worker that is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from tests.support.worker_processes import client, environment

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def worked(env: SQSEnv, app: str, **variables: str) -> Iterator[Callable[[], str]]:
    """The embedded SQS; what is given works its queues until they are empty, and returns the worker's log."""
    with LocalSQSServer() as server:
        sqs = client(server.endpoint_url)

        def work() -> str:
            command = [sys.executable, "-m", "sqs_tasks", "worker", app, "--idle-seconds", "0", "--wait-seconds", "0"]
            process = subprocess.run(
                command,
                cwd=ROOT,
                env=environment(server.endpoint_url, **variables),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert process.returncode == 0, process.stderr
            return process.stdout + process.stderr

        with env.connected_to(sqs):
            env.create_queues()
            yield work
        sqs.close()


def test_what_a_fastapi_endpoint_sends_is_done_by_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the commit of an async session, and never for one that was rolled back."""
    monkeypatch.setenv("FASTAPI_SHOP_DATABASE", f"sqlite+aiosqlite:///{tmp_path}/shop.sqlite3")
    from fastapi.testclient import TestClient

    from examples.fastapi_shop.app import app
    from examples.fastapi_shop.database import engine
    from examples.fastapi_shop.tasks import emails, env

    database = str(engine.url)  # that of the example's own tests, if they came first
    with worked(env, "examples.fastapi_shop.tasks:env", FASTAPI_SHOP_DATABASE=database) as work, TestClient(app) as web:
        order = web.post("/orders", params={"article": "book", "email": "a@example.com"}).json()["order"]
        assert web.post("/orders", params={"article": "moon", "email": "b@example.com"}).status_code == 409
        assert web.post("/customers", params={"email": "c@example.com"}).status_code == 202
        assert emails.statistics().total == 2

        assert "hello c@example.com" in work()
        assert web.get(f"/orders/{order}").json()["receipt"] == "book to a@example.com"
        assert emails.statistics().total == 0


def test_what_a_flask_view_sends_is_done_by_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the commit of the session, in an application context, and never for what was rolled back."""
    monkeypatch.setenv("FLASK_SHOP_DATABASE", f"sqlite:///{tmp_path}/shop.sqlite3")
    from examples.flask_shop.app import app
    from examples.flask_shop.database import engine
    from examples.flask_shop.tasks import emails, env

    database = str(engine.url)
    web: Any = app.test_client()
    with worked(env, "examples.flask_shop.tasks:env", FLASK_SHOP_DATABASE=database) as work:
        order = web.post("/orders", data={"article": "book", "email": "a@example.com"}).json["order"]
        assert web.post("/orders", data={"article": "moon", "email": "b@example.com"}).status_code == 409
        assert emails.statistics().total == 1

        work()
        assert web.get(f"/orders/{order}").json["receipt"] == "book to a@example.com, by the shop"
        assert emails.statistics().total == 0
