"""What a record costs in the Lambda handler, beside a plain loop and Powertools' batch processor.

    python benchmarks/lambda_batch.py               # a table
    python benchmarks/lambda_batch.py --check       # and exit 1 if the handler is not at or below Powertools

The task does nothing. Each finds it by the message's JobName and calls it with the arguments in the body:

- the plain loop, and Powertools as its users write it: ``tasks[name](**json.loads(body))``;
- Powertools doing the same parsing and dispatch as the handler, as its users would write it with Powertools' records:
  the four attributes, the content type against what is accepted, tagged values, the job's context, the signature;
- Powertools over our own reader in place of its records, which is faster;
- the handler, which besides gives each job its deadline, its timeout, a context of its own and an outcome.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqs_tasks import SQSEnv
from sqs_tasks.aws_lambda import SQSEventHandler
from sqs_tasks.codecs import SAFE_CONTENT_TYPES
from tests.support.lambda_events import FakeContext, event, record

BATCHES = (10, 1_000, 10_000)
ARGUMENTS = {"to": "a@example.com", "subject": "Hi", "body": "Thank you for your order."}

Handler = Callable[[Any, Any], Any]


def send_email(to: str, subject: str, body: str) -> None:
    """The task."""


def plain_loop() -> Handler:
    """The least there is: no failure is caught."""
    tasks = {"send_email": send_email}

    def handler(event: Any, _context: Any) -> Any:
        for one in event["Records"]:
            tasks[one["messageAttributes"]["JobName"]["stringValue"]](**json.loads(one["body"]))
        return {"batchItemFailures": []}

    return handler


def ours(timeout: float | None = 30) -> Handler:
    """The handler of a registry."""
    env = SQSEnv()
    env.queue("work").processor("send_email", timeout=timeout)(send_email)
    return SQSEventHandler(env)


def powertools() -> Handler | None:
    """Powertools' batch processor, if it is installed."""
    try:
        from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    except ImportError:
        return None
    tasks = {"send_email": send_email}
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def record_handler(record: Any) -> None:
        name = record.message_attributes["JobName"].string_value
        tasks[name](**json.loads(record.body))

    return lambda event, context: process_partial_response(event, record_handler, processor, context)


def powertools_same_parsing() -> Handler | None:
    """The batch processor with our wire format, registry and signatures, read from its own records."""
    try:
        from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    except ImportError:
        return None
    env = SQSEnv()
    env.queue("work").processor("send_email", timeout=30)(send_email)
    tasks, codecs = env.queues["work"].registry, env.codecs
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def record_handler(record: Any) -> None:
        attributes = record.message_attributes
        content_type = attributes["ContentType"].string_value
        if content_type not in SAFE_CONTENT_TYPES:
            raise ValueError(content_type)
        codec = codecs.get(content_type)
        arguments = codec.deserialize(record.body)
        context = codec.deserialize(attributes["JobContext"].string_value)
        if not isinstance(arguments, dict) or not isinstance(context, dict):
            raise TypeError
        job_name, _job_id = attributes["JobName"].string_value, attributes["JobId"].string_value
        task = tasks.get(job_name)
        assert task is not None
        task.processor.call(arguments, context)

    return lambda event, context: process_partial_response(event, record_handler, processor, context)


def powertools_over_our_reader() -> Handler | None:
    """The batch processor over our own reader: what is left is what a job's deadline, timeout and context cost."""
    try:
        from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    except ImportError:
        return None
    from sqs_tasks.lambda_runtime.records import from_lambda

    env = SQSEnv()
    queue = env.queue("work")
    queue.processor("send_email", timeout=30)(send_email)
    intake = queue.executor().intake
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)

    def record_handler(record: Any) -> None:
        job = intake.decode(from_lambda(record.raw_event, received_at=time.monotonic()))
        task = intake.tasks.get(job.job_name)
        assert task is not None
        task.processor.call(job.kwargs, job.context)

    return lambda event, context: process_partial_response(event, record_handler, processor, context)


def make_event(batch: int) -> Any:
    """Records as producers of ours make them."""
    made = event(*(record(f"m-{i}", "send_email", ARGUMENTS) for i in range(batch)))
    for one in made["Records"]:
        one["messageAttributes"]["JobContext"] = {**one["messageAttributes"]["JobName"], "stringValue": "{}"}
    return made


def seconds_a_record(handlers: Mapping[str, Handler], batch: int, repeat: int) -> dict[str, float]:
    """Seconds of CPU for each handler, the best of several runs: the one that the machine disturbed least.

    They run in turn, so that a machine that is slower for a while is so for all.
    """
    made = make_event(batch)
    rounds = max(4_000 // batch, 1)
    best = dict.fromkeys(handlers, float("inf"))
    for run in range(repeat + 1):
        for name, handler in handlers.items():
            gc.collect()
            started = time.process_time()
            for _ in range(rounds):
                assert handler(made, FakeContext(900)) == {"batchItemFailures": []}
            seconds = (time.process_time() - started) / (rounds * batch)
            best[name] = min(best[name], seconds if run else best[name])
    return best


def peak_bytes_a_record(handler: Handler, batch: int) -> float:
    """What is allocated at most while an event is worked, the event itself not counted."""
    made = make_event(batch)
    handler(made, FakeContext(900))
    gc.collect()
    tracemalloc.start()
    handler(made, FakeContext(900))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / batch


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9, help="runs of which the best counts")
    parser.add_argument("--check", action="store_true", help="exit 1 unless at or below Powertools")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.WARNING)
    made = {
        "plain loop": plain_loop(),
        "SQSEventHandler": ours(),
        "SQSEventHandler, task without a timeout": ours(None),
        "Powertools BatchProcessor, same parsing": powertools_same_parsing(),
        "Powertools BatchProcessor, over our reader": powertools_over_our_reader(),
        "Powertools BatchProcessor, bare": powertools(),
    }
    handlers = {name: handler for name, handler in made.items() if handler is not None}
    found = {
        (name, batch): seconds
        for batch in BATCHES
        for name, seconds in seconds_a_record(handlers, batch, options.repeat).items()
    }
    print("| µs a record (peak bytes a record) |" + "".join(f" batch of {batch:,} |" for batch in BATCHES))
    print("|---|" + "---|" * len(BATCHES))
    for name, handler in handlers.items():
        cells = [f" {found[name, batch] * 1e6:.1f} ({peak_bytes_a_record(handler, batch):,.0f}) |" for batch in BATCHES]
        print(f"| {name} |" + "".join(cells))
    if not options.check:
        return 0
    slower = [
        batch
        for batch in BATCHES
        if found["SQSEventHandler", batch] > found.get(("Powertools BatchProcessor, same parsing", batch), float("inf"))
    ]
    grows = found["SQSEventHandler", BATCHES[-1]] > 1.5 * found["SQSEventHandler", BATCHES[1]]
    if slower or grows:
        print(f"slower than Powertools in batches of {slower}; grows with the batch: {grows}")
    return int(bool(slower or grows))


if __name__ == "__main__":
    sys.exit(main())
