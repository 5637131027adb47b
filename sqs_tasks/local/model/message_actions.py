# ruff: noqa: ARG002  every action is called with its parameters, its caller and the time, and few need all three
"""The actions on messages: send, receive, delete, change visibility, and their batches."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from hashlib import md5
from typing import Any

from sqs_tasks import limits
from sqs_tasks.local.model import deduplication, faults, message_attributes, validation
from sqs_tasks.local.model.account import Account, Answer, Caller, Params
from sqs_tasks.local.model.delivery import Wanted, sequence_number
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.message import Message
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.queue import Queue

#: A message that was checked, its delay, the bytes that count against the limits (UTF-8, attributes included, S38), and
#: the answer to its sender.
_Prepared = tuple[Message, int, int, Answer]


class MessageActions:
    """Actions on messages, each as boto3 has it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        # Message ids: a random part for this account and a count. As unique as random ones, and quicker to make.
        digits = uuid.uuid4().hex
        self._id_prefix = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-"
        self._ids = itertools.count(1)
        #: The attributes of the latest message, with what was found out about them.
        self._examined: message_attributes.Examined = ({}, 0, "")

    def send_message(self, params: Params, caller: Caller, now: float) -> Answer:
        """Store a message."""
        queue = self._account.queue(params)
        if queue.fifo:
            _check_group(params, faults.missing_parameter("MessageGroupId"))
            _check_deduplication(queue, params)
        return self._store(queue, self._prepare(queue, params, caller, now), now)

    def send_message_batch(self, params: Params, caller: Caller, now: float) -> Answer:
        """Store up to ten messages; each succeeds or fails alone."""
        queue = self._account.queue(params)
        entries = params["Entries"]
        validation.entry_ids(entries, "SendMessageBatchRequestEntry")
        if queue.fifo:
            # AWS refuses the whole batch for these two, and with this code for the first.
            missing_group = faults.invalid_parameter("The request must contain the parameter MessageGroupId.")
            for entry in entries:
                _check_group(entry, missing_group)
                _check_deduplication(queue, entry)
        size = 0
        prepared: list[_Prepared | SQSFault] = []
        for entry in entries:
            try:
                ready = self._prepare(queue, entry, caller, now)
                size += ready[2]
                prepared.append(ready)
            except SQSFault as fault:
                size += _size(entry)
                prepared.append(fault)
        if size > limits.MAX_MESSAGE_BYTES:
            raise faults.batch_too_long(limits.MAX_MESSAGE_BYTES, size)
        successful, failed = [], []
        for entry, made in zip(entries, prepared, strict=True):
            if isinstance(made, SQSFault):
                failed.append(_failed(entry, made))
            else:
                answer = self._store(queue, made, now)
                answer["Id"] = entry["Id"]
                successful.append(answer)
        return _batch_answer(successful, failed)

    def receive_message(self, params: Params, caller: Caller, now: float) -> Answer | Poll:
        """Hand out up to ten messages, or a poll when there is none and the caller waits."""
        queue = self._account.queue(params)
        limit = params.get("MaxNumberOfMessages", 1)
        validation.number_between("MaxNumberOfMessages", limit, 1, limits.MAX_BATCH_ENTRIES)
        visibility = params.get("VisibilityTimeout")
        if visibility is not None:
            validation.number_between("VisibilityTimeout", visibility, 0, limits.MAX_VISIBILITY_SECONDS)
        wait_seconds = params.get("WaitTimeSeconds")
        if wait_seconds is None:
            wait_seconds = queue.wait_seconds
        elif not 0 <= wait_seconds <= limits.MAX_WAIT_SECONDS:
            reason = f"Must be >= 0 and <= {limits.MAX_WAIT_SECONDS}, if provided."
            raise faults.invalid_value("WaitTimeSeconds", wait_seconds, reason)
        attempt_id = params.get("ReceiveRequestAttemptId")
        if attempt_id is not None:
            if not queue.fifo:
                raise _not_for_this_type("ReceiveRequestAttemptId", attempt_id)
            validation.token("ReceiveRequestAttemptId", attempt_id)
        system = (*(params.get("AttributeNames") or ()), *(params.get("MessageSystemAttributeNames") or ()))
        wanted = Wanted.of(system, params.get("MessageAttributeNames") or ())
        poll = Poll(limit=limit, visibility_seconds=visibility, wanted=wanted, attempt_id=attempt_id)
        answer = queue.receive(poll, now)
        if answer is not None:
            return answer
        if not wait_seconds:
            return {}
        queue.wait(poll, now + wait_seconds)
        return poll

    def delete_message(self, params: Params, caller: Caller, now: float) -> Answer:
        """Delete a message by its receipt handle."""
        self._account.queue(params).delete(params["ReceiptHandle"], now)
        return {}

    def delete_message_batch(self, params: Params, caller: Caller, now: float) -> Answer:
        """Delete up to ten messages."""
        queue = self._account.queue(params)
        entries = params["Entries"]
        validation.entry_ids(entries, "DeleteMessageBatchRequestEntry")
        return _each(entries, lambda entry: queue.delete(entry["ReceiptHandle"], now))

    def change_message_visibility(self, params: Params, caller: Caller, now: float) -> Answer:
        """Change when a message becomes visible again."""
        _change_visibility(self._account.queue(params), params, now)
        return {}

    def change_message_visibility_batch(self, params: Params, caller: Caller, now: float) -> Answer:
        """Change when up to ten messages become visible again."""
        queue = self._account.queue(params)
        entries = params["Entries"]
        validation.entry_ids(entries, "ChangeMessageVisibilityBatchRequestEntry")
        # The model of the API lets an entry leave the timeout out; then it is the queue's.
        return _each(entries, lambda entry: _change_visibility(queue, entry, now))

    def _prepare(self, queue: Queue, params: Params, caller: Caller, now: float) -> _Prepared:
        """Check a message and make it, without storing it."""
        body = params["MessageBody"]
        if not body:
            raise faults.missing_parameter("MessageBody")
        if not (body.isascii() and body.isprintable()) and validation.has_forbidden_characters(body):
            raise faults.invalid_message_contents()
        encoded = body.encode()
        size = len(encoded)
        attributes = attributes_md5 = None
        given = params.get("MessageAttributes")
        if given:
            # The messages of a batch mostly carry the same attributes; they are then looked at once, and kept once.
            if given != self._examined[0]:
                self._examined = message_attributes.examine(given)
            attributes, bytes_of_attributes, attributes_md5 = self._examined
            size += bytes_of_attributes
        if size > queue.max_bytes:
            raise faults.invalid_parameter(
                f"One or more parameters are invalid. Reason: Message must be shorter than {queue.max_bytes} bytes."
            )
        system = params.get("MessageSystemAttributes")
        trace_header = _trace_header(system) if system else caller.trace_header
        delay = _delay(queue, params["DelaySeconds"]) if "DelaySeconds" in params else queue.delay_seconds
        group_id = params.get("MessageGroupId")
        if group_id is not None:
            validation.token("MessageGroupId", group_id)
        deduplication_id = params.get("MessageDeduplicationId")
        if queue.fifo:
            deduplication_id = deduplication_id or deduplication.id_of_content(encoded)
            validation.token("MessageDeduplicationId", deduplication_id)
        elif deduplication_id is not None:
            raise _not_for_this_type("MessageDeduplicationId", deduplication_id)
        message_id = f"{self._id_prefix}{next(self._ids):012x}"
        body_md5 = md5(encoded, usedforsecurity=False).hexdigest()
        message = Message(
            message_id, body, body_md5, now, attributes, attributes_md5, group_id, deduplication_id, trace_header
        )
        answer: Answer = {"MessageId": message_id, "MD5OfMessageBody": body_md5}
        if attributes_md5 is not None:
            answer["MD5OfMessageAttributes"] = attributes_md5
        if system:
            answer["MD5OfMessageSystemAttributes"] = message_attributes.digest(system)
        return message, delay, size, answer

    def _store(self, queue: Queue, prepared: _Prepared, now: float) -> Answer:
        """Store a message, unless it repeats one that is remembered, and return SQS's answer."""
        message, delay, _, answer = prepared
        if not queue.fifo:
            queue.admit(message, delay, now)
            return answer
        scope = message.group_id if queue.deduplicates_by_group else None
        deduplication_id = str(message.deduplication_id)
        original = queue.deduplication.find(scope, deduplication_id, now)
        if original is None:
            queue.admit(message, delay, now)
            original = (message.message_id, sequence_number(message.number))
            queue.deduplication.remember(scope, deduplication_id, original, now)
        answer["MessageId"], answer["SequenceNumber"] = original
        return answer


def _each(entries: Sequence[Params], act: Callable[[Params], None]) -> Answer:
    """Act on every entry of a batch; one that fails does not touch the others."""
    successful: list[Answer] = []
    failed: list[Answer] = []
    for entry in entries:
        try:
            act(entry)
        except SQSFault as fault:
            failed.append(_failed(entry, fault))
        else:
            successful.append({"Id": entry["Id"]})
    return _batch_answer(successful, failed)


def _failed(entry: Params, fault: SQSFault) -> Answer:
    return {"Id": entry["Id"], "SenderFault": fault.sender, "Code": fault.query_code, "Message": fault.message}


def _batch_answer(successful: list[Answer], failed: list[Answer]) -> Answer:
    answer: Answer = {}
    if successful:
        answer["Successful"] = successful
    if failed:
        answer["Failed"] = failed
    return answer


def _change_visibility(queue: Queue, params: Params, now: float) -> None:
    seconds = params.get("VisibilityTimeout", queue.visibility_seconds)
    validation.number_between("VisibilityTimeout", seconds, 0, limits.MAX_VISIBILITY_SECONDS)
    queue.change_visibility(params["ReceiptHandle"], seconds, now)


def _size(entry: Params) -> int:
    body = entry["MessageBody"].encode(errors="surrogatepass")
    return len(body) + message_attributes.size_of(entry.get("MessageAttributes") or {})


def _delay(queue: Queue, delay: int | None) -> int:
    """The delay that a send asks for."""
    if delay is None:
        return queue.delay_seconds
    if delay.__class__ is not int:
        raise TypeError("DelaySeconds is no integer")
    if queue.fifo:
        # Zero is accepted and means nothing: the delay of a FIFO queue is set on the queue.
        if delay:
            raise _not_for_this_type("DelaySeconds", delay)
        return queue.delay_seconds
    if not 0 <= delay <= limits.MAX_DELAY_SECONDS:
        reason = f"DelaySeconds must be >= 0 and <= {limits.MAX_DELAY_SECONDS}."
        raise faults.invalid_value("DelaySeconds", delay, reason)
    return delay


def _check_group(params: Params, fault: SQSFault) -> None:
    if not params.get("MessageGroupId"):
        raise fault


def _check_deduplication(queue: Queue, params: Params) -> None:
    if not params.get("MessageDeduplicationId") and not queue.content_based:
        raise faults.invalid_parameter(
            "The queue should either have ContentBasedDeduplication enabled or "
            "MessageDeduplicationId provided explicitly"
        )


def _trace_header(system: Mapping[str, Mapping[str, Any]]) -> str:
    for name, attribute in system.items():
        if name != "AWSTraceHeader":
            raise faults.invalid_parameter(f"Message system attribute name '{name}' is invalid.")
        if attribute.get("DataType") != "String" or not attribute.get("StringValue"):
            raise faults.invalid_parameter(f"The message system attribute '{name}' must be a non-empty String.")
    return str(system["AWSTraceHeader"]["StringValue"])


def _not_for_this_type(parameter: str, value: object) -> SQSFault:
    return faults.invalid_value(
        parameter, value, "The request include parameter that is not valid for this queue type."
    )
