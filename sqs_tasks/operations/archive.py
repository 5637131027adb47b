"""Letters in a file, a line of JSON each: to keep them for longer than SQS does, or to put them elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, cast

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.message import MessageAttribute, OutgoingMessage
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.report import Report
from sqs_tasks.operations.selection import Selection
from sqs_tasks.operations.sending_once import NoAnswerError, send_once


def export_letters(
    queue: LetterQueue,
    file: IO[str],
    selection: Selection | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Write letters to a file, with bodies and attributes; they stay in the queue.

    Args:
        queue: The dead-letter queue.
        file: Where they are written.
        selection: Which letters; None for all.
        should_stop: Asked between letters.
    """
    report = Report()
    with look(queue, selection, should_stop=should_stop) as letters:
        for letter in letters:
            file.write(json.dumps(_line(queue, letter)) + "\n")
            report.matched += 1
            report.done += 1
        report.seen, report.hidden, report.behind = letters.seen, letters.hidden, letters.behind
    file.flush()
    report.stopped = should_stop()
    return report


def import_letters(
    queue: LetterQueue,
    lines: Iterable[str],
    *,
    to: str | None = None,
    start: int = 1,
    before: Callable[[int], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Send the letters of a file to a dead-letter queue, as they were.

    Args:
        queue: The dead-letter queue.
        lines: The lines of the file.
        to: The URL of another queue.
        start: The line to begin with: after an interruption, the one after the last that is known to be sent.
        before: Called with the number of each line before it is sent.
        should_stop: Asked between lines.

    Returns:
        What was done; ``problem`` names the line that may have been sent or not, if there is one.

    Raises:
        ConfigurationError: A line is no letter; what came before it has been sent.
    """
    report = Report()
    target = to or queue.url
    for number, line in enumerate(lines, start=1):
        if number < start or not line.strip():
            continue
        if should_stop():
            report.stopped = True
            break
        message = _message(number, line, fifo=target.endswith(".fifo"))
        report.seen += 1
        report.matched += 1
        before(number)
        try:
            send_once(queue.env, target, message)
        except NoAnswerError as error:
            report.problem = f"line {number}: {error}; it may be sent or not"
            break
        report.done += 1
    return report


def _line(queue: LetterQueue, letter: Letter) -> dict[str, Any]:
    message = letter.message
    return {
        "queue": queue.name,
        "message_id": message.message_id,
        "body": message.body,
        "attributes": {name: _written(one) for name, one in message.message_attributes.items()},
        "system_attributes": dict(message.attributes),
    }


def _written(attribute: Mapping[str, Any]) -> dict[str, str]:
    written = {"DataType": str(attribute["DataType"])}
    if "StringValue" in attribute:
        written["StringValue"] = attribute["StringValue"]
    if "BinaryValue" in attribute:
        written["BinaryValue"] = base64.b64encode(attribute["BinaryValue"]).decode()
    return written


def _message(number: int, line: str, *, fifo: bool) -> OutgoingMessage:
    try:
        found = json.loads(line)
        attributes = dict(_read(found.get("attributes", {})))
        system = found.get("system_attributes", {})
        body, message_id = found["body"], str(found["message_id"])
        if not isinstance(body, str):
            raise TypeError(type(body).__name__)  # noqa: TRY301 - as a line without one
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"line {number} is no letter as 'sqs-tasks dead export' writes it ({type(error).__name__}); "
            f"correct it, and go on with --start {number}"
        ) from error
    return OutgoingMessage(
        body=body,
        attributes=attributes,
        group_id=system.get("MessageGroupId") or ("default" if fifo else None),
        # The same each time, so that a line that is sent again within five minutes is there once.
        deduplication_id=f"import-{message_id}" if fifo else None,
        trace_header=system.get("AWSTraceHeader"),
    )


def _read(attributes: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, MessageAttribute]]:
    for name, one in attributes.items():
        attribute: dict[str, Any] = {"DataType": one["DataType"]}
        if "StringValue" in one:
            attribute["StringValue"] = one["StringValue"]
        if "BinaryValue" in one:
            attribute["BinaryValue"] = base64.b64decode(one["BinaryValue"])
        yield name, cast("MessageAttribute", attribute)
