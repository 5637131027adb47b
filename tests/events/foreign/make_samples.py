"""Makes the sample messages of this folder with the task queues that they are named for.

    python tests/events/foreign/make_samples.py [NAME ...]

Each library is installed from PyPI into a virtual environment of its own under a temporary directory, and is asked to
send jobs. What it hands to the SQS client is written down instead of being sent; the libraries are not changed
otherwise, apart from Celery's idea of its host name. Versions:

- sqs_workers.json: sqs-workers 0.7.3 (with typing_extensions, which it imports without asking for it)
- sqs_workers_v02.json: sqs-workers 0.2.0 (with Werkzeug 0.16.1, the last whose internals it can import)
- simple_worker.json: simple-worker 0.2.21
- pyqs.json: pyqs 1.0.1
- squids.json: squids 0.1.0a2
- celery.json: celery[sqs] 5.7.0 with kombu 5.7.0
- celery_v52.json: celery[sqs] 5.2.7 with kombu 5.2.4

A sample is ``{"body": ..., "attributes": {name: value}}``, under a name that says what was sent. Random identifiers
differ from run to run; the tests look at none of them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import uuid
import venv

BOTO = "boto3==1.44.5"
LIBRARIES = {
    "sqs_workers": ["sqs-workers==0.7.3", "typing_extensions==4.16.0", BOTO],
    "sqs_workers_v02": ["sqs-workers==0.2.0", "Werkzeug==0.16.1", BOTO],
    "simple_worker": ["simple-worker==0.2.21", BOTO],
    "pyqs": ["pyqs==1.0.1", BOTO],
    "squids": ["squids==0.1.0a2", BOTO],
    "celery": ["celery[sqs]==5.7.0", "kombu==5.7.0", BOTO],
    "celery_v52": ["celery==5.2.7", "kombu==5.2.4", "setuptools<80", "pycurl", BOTO],
}

WHEN = dt.datetime(2026, 5, 1, 9, 0, tzinfo=dt.UTC)
PLAIN = {"to": "a@example.com", "count": 3, "tags": ["x", "ü"], "nested": {"task": None}}
RICH = {
    "at": dt.datetime(2026, 5, 1, 9, 0, 0, 5, tzinfo=dt.UTC),
    "day": dt.date(2026, 5, 1),
    "price": decimal.Decimal("9.90"),
    "id": uuid.UUID("12345678-1234-5678-1234-567812345678"),
}


class Recorder:
    """Stands where boto3 would talk to AWS, and keeps what would have been sent."""

    def __init__(self) -> None:
        self.sent: list[dict] = []

    def install(self) -> None:
        from botocore.client import BaseClient

        def call(client, operation_name, arguments):
            if operation_name == "SendMessage":
                self.sent.append(arguments)
                return {"MessageId": str(uuid.uuid4())}
            if operation_name == "GetQueueUrl":
                return {"QueueUrl": f"https://sqs.eu-west-1.amazonaws.com/123456789012/{arguments['QueueName']}"}
            return {"Attributes": {"ApproximateNumberOfMessages": "0"}, "QueueUrls": []}

        BaseClient._make_api_call = call

    @contextlib.contextmanager
    def sample(self, samples: dict, name: str):
        """The one message that the block sends becomes a sample."""
        before = len(self.sent)
        yield
        (message,) = self.sent[before:]
        attributes = {key: value["StringValue"] for key, value in message.get("MessageAttributes", {}).items()}
        samples[name] = {"body": message["MessageBody"], "attributes": attributes}


def sqs_workers(record: Recorder) -> dict:
    from sqs_workers import SQSEnv

    samples: dict = {}
    queue = SQSEnv(queue_prefix="shop-").queue("emails")
    for content_type in ("json", "pickle", "pickle_compat"):
        with record.sample(samples, content_type):
            queue.add_job("send_email", _content_type=content_type, **PLAIN)
    with record.sample(samples, "pickle_rich"):
        queue.add_job("send_email", **RICH)
    with queue.env.context(request="r-1"), record.sample(samples, "json_with_context"):
        queue.add_job("send_email", _content_type="json", limit=float("nan"))
    return samples


def sqs_workers_v02(record: Recorder) -> dict:
    from sqs_workers import SQSEnv

    samples: dict = {}
    env = SQSEnv(queue_prefix="shop-")
    for content_type in ("json", "pickle"):
        with record.sample(samples, content_type):
            env.add_job("emails", "send_email", _content_type=content_type, **PLAIN)
    with record.sample(samples, "pickle_rich"):
        env.add_job("emails", "send_email", **RICH)
    return samples


def simple_worker(record: Recorder) -> dict:
    from simple_worker import App

    samples: dict = {}
    app = App(queue_prefix="shop-", sqs_region="eu-west-1")
    app.register_task_handler("send_email", queue="emails")(lambda **arguments: None)
    with record.sample(samples, "plain"):
        app.add_task("send_email", **PLAIN)
    with record.sample(samples, "no_arguments"):
        app.add_task("send_email")
    return samples


def pyqs(record: Recorder) -> dict:
    from pyqs import task

    samples: dict = {}

    def send_email(*arguments, **named): ...

    send_email.__module__ = "shop.tasks"
    task(queue="emails")(send_email)
    with record.sample(samples, "keywords"):
        send_email.delay(**PLAIN)
    with record.sample(samples, "positional"):
        send_email.delay("a@example.com", 3, tags=["x"])

    def renamed(): ...

    task(queue="emails", custom_function_path="other_project.tasks.send")(renamed)
    with record.sample(samples, "custom_path"):
        renamed.delay(_delay_seconds=5)
    return samples


def squids(record: Recorder) -> dict:
    from squids import App

    samples: dict = {}

    def send_email(to, count=0, *, tags=()): ...

    send_email.__module__ = "shop.tasks"
    send_email.__qualname__ = "send_email"
    task = App("shop").task("emails")(send_email)
    with record.sample(samples, "keywords"):
        task.send(to="a@example.com", count=3, tags=["x"])
    with record.sample(samples, "options"):
        options = {"MessageAttributes": {"tenant": {"StringValue": "t-1", "DataType": "String"}}}
        task.send_job(args=("a@example.com",), options=options)
    return samples


def celery(record: Recorder) -> dict:
    import celery.app.amqp
    from celery import Celery, chain, group

    celery.app.amqp.anon_nodename = lambda *_: "gen1@producer"
    samples: dict = {}

    def send_email(*arguments, **named): ...

    def make_app(**settings):
        app = Celery("shop", broker="sqs://")
        url = "https://sqs.eu-west-1.amazonaws.com/123456789012/celery"
        options = {"region": "eu-west-1", "predefined_queues": {"celery": {"url": url}}}
        app.conf.update(
            broker_transport_options={**options, **settings.pop("transport", {})}, task_publish_retry=False, **settings
        )
        task = app.task(name="shop.tasks.send_email")(send_email)
        app.finalize()
        return task

    rich = {**RICH, "raw": b"abc", "binary": b"\x00\xff"}
    two, one = make_app(), make_app(task_protocol=1)
    for protocol, task in (("2", two), ("1", one)):
        with record.sample(samples, f"protocol_{protocol}"):
            task.apply_async(("a@example.com",), {"count": 3, "tags": ["x", "ü"]}, task_id=f"job-{protocol}")
        with record.sample(samples, f"protocol_{protocol}_delay"):
            task.delay(**PLAIN)
        with record.sample(samples, f"protocol_{protocol}_eta"):
            task.apply_async(eta=WHEN, expires=WHEN + dt.timedelta(hours=1))
        with record.sample(samples, f"protocol_{protocol}_pickle"):
            task.apply_async((RICH["price"],), rich, serializer="pickle")
        with record.sample(samples, f"protocol_{protocol}_zlib"):
            task.apply_async(kwargs={"text": "x" * 500}, compression="zlib")
        with record.sample(samples, f"protocol_{protocol}_bzip2"):
            task.apply_async(kwargs={"text": "x" * 500}, compression="bzip2")
        with record.sample(samples, f"protocol_{protocol}_callback"):
            task.apply_async(link=task.s())
        with record.sample(samples, f"protocol_{protocol}_error_callback"):
            task.apply_async(link_error=task.s())
        with record.sample(samples, f"protocol_{protocol}_chord"):
            task.apply_async(chord=task.s())
        with record.sample(samples, f"protocol_{protocol}_group_member"):
            group([task.s(1)]).apply_async()
    with record.sample(samples, "protocol_2_chain"):
        chain(two.si(1), two.si(2)).apply_async()
    try:
        with record.sample(samples, "protocol_2_rich"):
            two.apply_async(kwargs=rich)
    except Exception:  # before kombu 5.3 there were no bytes in JSON
        with record.sample(samples, "protocol_2_rich"):
            two.apply_async(kwargs=RICH)
    plain_text = make_app(transport={"sqs_base64_encoding": False})
    with record.sample(samples, "protocol_2_no_base64"):
        plain_text.delay(**PLAIN)
    with record.sample(samples, "attributes"):
        two.apply_async(message_attributes={"tenant": {"StringValue": "t-1", "DataType": "String"}})
    return samples


def produce(name: str) -> None:
    """Runs in a library's own environment; prints its samples."""
    os.environ.update(AWS_DEFAULT_REGION="eu-west-1", AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    record = Recorder()
    record.install()
    samples = {"celery_v52": celery}.get(name, globals().get(name))(record)
    print(json.dumps(samples, indent=2))


def main(names: list[str]) -> None:
    here = pathlib.Path(__file__).resolve()
    for name in names or LIBRARIES:
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = pathlib.Path(folder, "Scripts" if os.name == "nt" else "bin", "python")
            subprocess.run([python, "-m", "pip", "install", "--quiet", *LIBRARIES[name]], check=True)
            command = [python, "-W", "ignore", str(here), "--produce", name]
            made = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout
        (here.parent / f"{name}.json").write_text(json.dumps(json.loads(made), indent=2) + "\n")
        print(name, "done")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--produce"]:
        sys.path.pop(0)  # this folder
        produce(sys.argv[2])
    else:
        main(sys.argv[1:])
