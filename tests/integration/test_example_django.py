"""examples/django_shop: a view, a commit, a worker as a process of its own, and what it leaves in the database."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sqs_tasks.local.server import LocalSQSServer
from tests.support.polling import until
from tests.support.worker_processes import environment, processes

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "django_shop"

#: What a customer does, with Django's own test client; the worker is not asked.
CUSTOMER = """
from sqs_tasks.app_path import load_app
env = load_app("shop.sqs:env")  # as sqs-tasks and a function do: it sets Django up
assert set(env.queue("emails").registry._tasks) == {"send_receipt", "count_orders", "orders.tasks.thank"}
from django.core.management import call_command
from django.test import Client
from orders.views import SoldOutError
call_command("migrate", verbosity=0)
env.create_queues()
client = Client()
assert client.post("/orders", {"article": "book", "email": "a@example.com"}).status_code == 201
try:
    client.post("/orders", {"article": "moon", "email": "b@example.com"})
except SoldOutError:
    pass
print(env.queue("emails").statistics().total)
"""


def test_a_view_sends_after_its_commit_and_the_worker_finds_the_order(tmp_path: Path) -> None:
    """The worker and its supervisor are started by manage.py; what was rolled back is neither saved nor sent."""
    database = tmp_path / "shop.sqlite3"
    more = {"SHOP_DATABASE": str(database), "DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(EXAMPLE)}
    with LocalSQSServer() as server, processes(tmp_path, server.endpoint_url) as run:
        customer = subprocess.run(
            [sys.executable, "-W", "error", "-c", CUSTOMER],
            env=environment(server.endpoint_url, **more),
            capture_output=True,
            text=True,
            check=True,
        )
        assert customer.stdout.strip() == "3"  # the jobs of one request, and none of the other

        worker = run.python(
            str(EXAMPLE / "manage.py"), "sqs_worker", "--supervise", "--wait-seconds", "1", "emails", variables=more
        )

        def receipts() -> list[tuple[str]]:
            with closing(sqlite3.connect(database)) as connection:
                return connection.execute("SELECT receipt FROM orders_order").fetchall()

        until(lambda: receipts() == [("book to a@example.com",)], what="the receipt")
        until(lambda: "1 orders so far" in run.log(worker), what="the async task")
        until(lambda: "thank you, a@example.com" in run.log(worker), what="the task of Django's framework")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0, run.log(worker)
        assert run.log(worker).count("worker of shop.sqs:env for emails") == 1
        assert "WARNINGS" not in run.log(worker)
