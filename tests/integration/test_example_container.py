"""examples/container: its command works, and its stop times fit."""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
from pathlib import Path

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.local.server import LocalSQSServer
from sqs_tasks.worker.consumer import CLOSE_SECONDS
from sqs_tasks.worker.supervisor import KILL_MARGIN_SECONDS
from tests.support.polling import until
from tests.support.worker_processes import client, processes

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "container"
DOCKERFILE = (EXAMPLE / "Dockerfile").read_text()


def variables_of_image():
    block = re.search(r"^ENV (SQS_TASKS_APP.*?)\n\n", DOCKERFILE, re.MULTILINE | re.DOTALL).group(1)
    return dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())


def test_the_command_of_the_image_works_jobs_and_stops(tmp_path):
    """What CMD and ENV say, but for Docker."""
    shutil.copy(EXAMPLE / "tasks.py", tmp_path)
    command = json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])
    variables = variables_of_image()
    del variables["SQS_TASKS_HEALTH_PORT"]  # it may be taken here
    assert command[0] == "sqs-tasks"

    with LocalSQSServer() as server, processes(tmp_path, server.endpoint_url) as run:
        env = SQSEnv(queue_prefix="shop-", sqs_client=client(server.endpoint_url))
        emails, videos = env.queue("emails"), env.queue("videos")
        env.create_queues()
        worker = run.python("-m", "sqs_tasks", *command[1:], "--wait-seconds", "1", variables=variables)
        emails.add_job("send_email", to="a@example.com", subject="Hi")
        videos.add_job("transcode", path="cat.mp4", chunks=2)

        until(lambda: "sent 'Hi' to a@example.com" in run.log(worker), what="the email")
        until(lambda: "cat.mp4: chunk 1 done" in run.log(worker), what="the video")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0, run.log(worker)
        env.client().close()


def test_the_stop_times_leave_room_for_settling():
    """The platform's SIGKILL comes after the worker's own end."""
    yaml = pytest.importorskip("yaml")
    room = CLOSE_SECONDS + KILL_MARGIN_SECONDS
    task = json.loads((EXAMPLE / "task-definition.json").read_text())["containerDefinitions"][0]
    grace = {one["name"]: one["value"] for one in task["environment"]}["SQS_TASKS_GRACE_SECONDS"]
    pod = yaml.safe_load((EXAMPLE / "kubernetes.yaml").read_text())["spec"]["template"]["spec"]
    pod_grace = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}["SQS_TASKS_GRACE_SECONDS"]

    assert task["stopTimeout"] <= 120  # the most that Fargate takes (E5)
    assert float(grace) + room <= task["stopTimeout"]
    assert float(pod_grace) + room <= pod["terminationGracePeriodSeconds"]


def test_the_policy_names_the_queues_of_the_application():
    """No more than working them needs."""
    tree = ast.parse((EXAMPLE / "tasks.py").read_text())
    names = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "queue"
    }
    policy = json.loads((EXAMPLE / "policy.json").read_text())
    work, dead, _ = policy["Statement"]

    assert {arn.rpartition(":")[2] for arn in work["Resource"]} == {f"shop-{name}" for name in names}
    assert {arn.rpartition(":")[2] for arn in dead["Resource"]} == {f"shop-{name}_dead" for name in names}
