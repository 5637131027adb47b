"""Adds jobs to the shop's queues, as a web server would, from a process that runs none of them.

    python examples/shop/produce.py --jobs 1000 --outbox outbox.jsonl

Every twentieth job of a queue fails once, another twice, another always, another is refused for good, and one more
is a message that is no job at all. What was accepted by SQS, and what should become of it, is written to the outbox.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shop.tasks import charge_card, env, notify_warehouse, payments, pictures, receipts, resize_picture, send_receipt
from sqs_tasks import JobQueue

Kind = Literal["fine", "flaky-1", "flaky-2", "broken", "refused", "malformed"]

#: The kind of every twentieth job, by its place among the twenty; the others are fine.
_KINDS: dict[int, Kind] = {2: "flaky-1", 6: "flaky-2", 10: "broken", 14: "refused", 17: "malformed"}

#: Which queue each ten jobs go to.
_TURNS = (receipts, pictures, receipts, payments, receipts, pictures, receipts, payments, receipts, pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that SQS accepted, and what should become of it."""

    job_id: str
    queue: str
    kind: Kind
    #: Whether its task returns in the end; otherwise it belongs into the dead-letter queue.
    succeeds: bool
    #: How often its task runs until then.
    runs: int


def main() -> None:
    """Send the jobs, then write the outbox."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--jobs", type=int, default=1000)
    options.add_argument("--outbox", type=Path, required=True)
    given = options.parse_args()
    sent: list[Sent] = []
    with receipts.add_batch(), pictures.add_batch(), payments.add_batch():
        for number, (queue, kind) in enumerate(itertools.islice(plan(), given.jobs), start=1):
            job_id = send_malformed(queue, number) if kind == "malformed" else send_job(queue, number, kind)
            sent.append(
                Sent(job_id=job_id, queue=queue.name, kind=kind, succeeds=_succeeds(kind), runs=_runs(queue, kind))
            )
    # Here the batches are sent; had SQS refused a message, the block would have raised.
    given.outbox.write_text("".join(json.dumps(asdict(one)) + "\n" for one in sent), encoding="utf-8")
    print(f"{len(sent)} messages sent")


def plan() -> Iterator[tuple[JobQueue, Kind]]:
    """Queues and kinds of jobs, without end."""
    places = {queue.name: itertools.count() for queue in _TURNS}
    for queue in itertools.cycle(_TURNS):
        kind = _KINDS.get(next(places[queue.name]) % 20, "fine")
        # Nothing about a receipt can be refused.
        yield queue, "fine" if kind == "refused" and queue is receipts else kind


def send_job(queue: JobQueue, number: int, kind: Kind) -> str:
    """Add a job; its arguments say how the pretended services take it. Returns the job's id."""
    total = Decimal(number) / 100
    if queue is pictures:
        width = 0 if kind == "refused" else 320
        receipt = resize_picture.delay(picture=f"{kind}/{number}.jpg", width=width)
    elif queue is payments:
        card = f"{'declined' if kind == 'refused' else kind} card {number}"
        # By name: what a service does that does not have the tasks' code.
        receipt = env.add_job("payments", charge_card.name, order_id=number, card=card, total=total)
    elif number % 2:
        receipt = send_receipt.delay(order_id=number, email=f"{kind}-{number}@example.com", total=total)
    else:
        receipt = notify_warehouse.delay(order_id=number, shelf=f"{kind} shelf")
    return str(receipt.job_id)


def send_malformed(queue: JobQueue, number: int) -> str:
    """Send what no worker can run, past the library, which would refuse it. Returns the id that tells it apart."""
    job_id = str(uuid4())
    name = queue.tasks[0].name
    body, attributes = (
        ("{this is not JSON", {"JobName": name, "ContentType": "json"}),
        ('{"colour": "blue"}', {"JobName": name, "ContentType": "json"}),
        ("gASVAAAAAAAAAAB9lC4=", {"JobName": name, "ContentType": "pickle"}),
        ('{"detail-type": "Order Placed"}', {}),
    )[number % 4]
    env.client().send_message(
        QueueUrl=queue.queue_url,
        MessageBody=body,
        MessageAttributes={
            key: {"DataType": "String", "StringValue": value} for key, value in {**attributes, "JobId": job_id}.items()
        },
    )
    return job_id


def _succeeds(kind: Kind) -> bool:
    return kind in ("fine", "flaky-1", "flaky-2")


def _runs(queue: JobQueue, kind: Kind) -> int:
    """How often a task runs until it succeeded, or nobody tries any more."""
    attempts = queue.tasks[0].settings.max_attempts or queue.max_receive_count
    return {"fine": 1, "flaky-1": 2, "flaky-2": 3, "broken": attempts, "refused": 1, "malformed": 0}[kind]


if __name__ == "__main__":
    main()
