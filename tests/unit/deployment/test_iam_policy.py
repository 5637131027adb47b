"""The least rights: what is allowed, on which queues, and nothing besides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sqs_tasks.cli.group import main
from sqs_tasks.deployment.iam_policy import iam_policy
from sqs_tasks.errors import ConfigurationError
from tests.support.manifests import manifest, queue, task

REGISTRY = manifest(
    queue("emails", tasks=[task(enqueues=["orders.fifo"])]),
    queue("orders.fifo", tasks=[task("place", enqueues=None)]),
    queue("logs", dead_letter_queue=None, tasks=[task("write", enqueues=[])]),
)


def _allowed(document: dict[str, Any]) -> dict[str, set[str]]:
    """The actions by resource name."""
    found: dict[str, set[str]] = {}
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        for resource in statement["Resource"]:
            found.setdefault(resource.rpartition(":")[2], set()).update(statement["Action"])
    return found


SEND = {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
CONSUME = {
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
}


def test_producer_may_send_and_nothing_else() -> None:
    """A producer sends to the queues it names, and to none of the dead-letter queues."""
    document = iam_policy(REGISTRY, role="producer", queues=["emails"])

    assert _allowed(document) == {"shop-emails": SEND}
    assert document["Version"] == "2012-10-17"


def test_worker_may_work_and_send_where_its_tasks_do() -> None:
    """R5: its queue, also for copies of jobs that are put off, its dead-letter queue, and what its tasks declare."""
    document = iam_policy(REGISTRY, role="worker", queues=["emails"])

    assert _allowed(document) == {
        "shop-emails": CONSUME | {"sqs:SendMessage"},
        "shop-emails_dead": SEND,
        "shop-orders.fifo": SEND,
    }


def test_worker_of_silent_tasks_may_send_everywhere() -> None:
    """R5: a task that does not say where it adds jobs may add them anywhere."""
    document = iam_policy(REGISTRY, role="worker", queues=["orders.fifo"])

    assert _allowed(document) == {
        "shop-orders.fifo": CONSUME | SEND,
        "shop-orders_dead.fifo": SEND,
        "shop-emails": SEND,
        "shop-logs": SEND,
    }


def test_operator_may_move_dead_letters_back() -> None:
    """Redrive: read and delete there, send here; a queue without a dead-letter queue has no part in it."""
    allowed = _allowed(iam_policy(REGISTRY, role="redrive"))

    assert {name for name, actions in allowed.items() if "sqs:StartMessageMoveTask" in actions} == {
        "shop-emails_dead",
        "shop-orders_dead.fifo",
    }
    assert {name for name, actions in allowed.items() if "sqs:SendMessage" in actions} == {
        "shop-emails",
        "shop-orders.fifo",
    }
    with pytest.raises(ConfigurationError, match="nothing to redrive"):
        iam_policy(REGISTRY, role="redrive", queues=["logs"])


def test_resources_are_as_narrow_as_one_says() -> None:
    """Account, region and partition go into the ARNs, and a key gets its own statement."""
    document = iam_policy(
        REGISTRY,
        role="producer",
        queues=["emails"],
        partition="aws-cn",
        region="cn-north-1",
        account="123456789012",
        kms_key_arn="arn:aws-cn:kms:cn-north-1:123456789012:key/1",
    )

    assert document["Statement"][0]["Resource"] == ["arn:aws-cn:sqs:cn-north-1:123456789012:shop-emails"]
    assert document["Statement"][1]["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]
    assert document["Statement"][1]["Resource"] == ["arn:aws-cn:kms:cn-north-1:123456789012:key/1"]


def test_queue_that_is_known_by_its_url_is_where_that_says() -> None:
    """Its account, region and partition are not those of the other queues; its dead-letter queue is beside it."""
    registry = manifest(
        queue("emails", tasks=[task(enqueues=["theirs"])]),
        queue("theirs", queue_name="theirs", queue_url="https://sqs.cn-north-1.amazonaws.com.cn/210987654321/theirs"),
    )

    worker = iam_policy(registry, role="worker", queues=["emails"], region="eu-west-1", account="123456789012")
    redrive = iam_policy(registry, role="redrive", queues=["theirs"], region="eu-west-1", account="123456789012")

    assert worker["Statement"][0]["Resource"] == ["arn:aws:sqs:eu-west-1:123456789012:shop-emails"]
    assert worker["Statement"][1]["Resource"] == ["arn:aws:sqs:eu-west-1:123456789012:shop-emails"]
    assert worker["Statement"][2]["Resource"] == [
        "arn:aws:sqs:eu-west-1:123456789012:shop-emails_dead",
        "arn:aws-cn:sqs:cn-north-1:210987654321:theirs",
    ]
    assert redrive["Statement"][0]["Resource"] == ["arn:aws-cn:sqs:cn-north-1:210987654321:shop-theirs_dead"]


def test_unknown_queue_is_refused() -> None:
    """A misspelt queue does not give an empty policy."""
    with pytest.raises(ConfigurationError, match="no queue is named 'email'; registered are 'emails'"):
        iam_policy(REGISTRY, role="producer", queues=["email"])


def test_command_prints_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sqs-tasks iam`` prints the document of an application's registry, and calls nobody."""
    monkeypatch.chdir(Path(__file__).parents[3])
    words = ["iam", "examples.stack.tasks:env", "stills", "--for", "producer", "--region", "eu-west-1"]

    done = CliRunner().invoke(main, words)

    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["Statement"][0]["Resource"] == ["arn:aws:sqs:eu-west-1:*:studio-stills"]


def test_command_names_the_unknown_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused is one line, and exit code 1."""
    monkeypatch.chdir(Path(__file__).parents[3])

    done = CliRunner().invoke(main, ["iam", "examples.stack.tasks:env", "still", "--for", "worker"])

    assert done.exit_code == 1
    assert "no queue is named 'still'" in done.output


def test_scheduler_may_send_runs_and_nothing_else() -> None:
    """The role of EventBridge Scheduler: one action on the queues, and their key."""
    document = iam_policy(REGISTRY, role="scheduler", queues=["emails"], kms_key_arn="arn:aws:kms:::key/1")

    assert _allowed(document) == {
        "shop-emails": {"sqs:SendMessage"},
        "key/1": {"kms:GenerateDataKey", "kms:Decrypt"},
    }


def test_producer_may_hold_jobs_that_are_due_later() -> None:
    """It makes and deletes schedules of single jobs in one group, and passes one role to one service."""
    role = "arn:aws:iam::123456789012:role/shop-scheduler"
    document = iam_policy(REGISTRY, role="producer", queues=["emails"], schedule_group="shop", scheduler_role_arn=role)

    assert _allowed(document) == {
        "shop-emails": SEND,
        "schedule/shop/job-*": {"scheduler:CreateSchedule", "scheduler:DeleteSchedule"},
        "role/shop-scheduler": {"iam:PassRole"},
    }
    assert document["Statement"][-1]["Condition"] == {
        "StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}
    }
    with pytest.raises(ConfigurationError, match="give --scheduler-role-arn too"):
        iam_policy(REGISTRY, role="producer", schedule_group="shop")
