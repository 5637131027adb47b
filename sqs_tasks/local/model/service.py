"""The SQS API over the model: one method for each action, dictionaries in and out as boto3 has them."""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from sqs_tasks import limits
from sqs_tasks.local.clock import Clock, SystemClock
from sqs_tasks.local.model import (
    deduplication,
    faults,
    message_attributes,
    move_task,
    permissions,
    queue_attributes,
    validation,
)
from sqs_tasks.local.model.agenda import Agenda
from sqs_tasks.local.model.delivery import Wanted, sequence_number
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.message import Message
from sqs_tasks.local.model.move_task import MoveTask, Status
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.queue import MAX_IN_FLIGHT, Queue
from sqs_tasks.local.model.redrive import RedrivePolicy

#: The account that owns every queue.
ACCOUNT_ID = "000000000000"

DEFAULT_REGION = "us-east-1"

#: Seconds after a delete before the name may be used again, and after a purge before the next: AWS's waits.
WAIT_AFTER_DELETE_SECONDS = WAIT_AFTER_PURGE_SECONDS = 60.0

#: Queues that one ListQueues or ListDeadLetterSourceQueues returns.
MAX_LISTED = 1_000

Params = Mapping[str, Any]
Answer = dict[str, Any]

#: A message that was checked, its delay, the bytes that count against the limits (UTF-8, attributes included, S38), and
#: what its sender will be told.
_Prepared = tuple[Message, int, int, Answer]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as answers depend on it.

    Attributes:
        base_url: What queue URLs begin with, without a slash at the end.
        region: The region in the ARNs of queues that this caller creates.
    """

    base_url: str
    region: str = DEFAULT_REGION


class Service:
    """An SQS of one account. One call at a time; see the package's docstring.

    Args:
        clock: The time.
        enforce_waits: Refuse what AWS refuses for 60 seconds: a second purge, and a queue named like one just deleted.
            Off by default, because tests and developers do both all the time.
        max_in_flight: The quota of messages in flight per queue (S37).
    """

    def __init__(
        self, clock: Clock | None = None, *, enforce_waits: bool = False, max_in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self.clock = clock or SystemClock()
        self.agenda = Agenda()
        self._enforce_waits = enforce_waits
        self._max_in_flight = max_in_flight
        self._queues: dict[str, Queue] = {}
        self._deleted: dict[str, float] = {}
        self._numbers = itertools.count(1)
        # Message ids: a random part for this service and a count. As unique as random ones, and quicker to make.
        digits = uuid.uuid4().hex
        self._id_prefix = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-"
        self._ids = itertools.count(1)
        self._woken: dict[Queue, None] = {}
        self._moves: dict[str, deque[MoveTask]] = {}
        self._actions: dict[str, Callable[[Params, Caller, float], Answer | Poll]] = {
            name: getattr(self, method) for name, method in ACTIONS.items()
        }

    def call(self, action: str, params: Params, caller: Caller) -> Answer | Poll:
        """Perform an action; a ReceiveMessage that has to wait gives a Poll instead of an answer.

        The parameters must have passed :mod:`~sqs_tasks.local.model.shapes`, and belong to the model from here on; what
        an answer holds may be shared with it.

        Raises:
            SQSFault: What SQS answers in place of a result.
        """
        method = self._actions.get(action)
        if method is None:
            raise faults.invalid_action(action)
        now = self.run_due()
        try:
            return method(params, caller, now)
        finally:
            if self._woken:
                self._serve(now)

    def run_due(self) -> float:
        """Let everything happen whose time has come, and return the time."""
        now = self.clock.now()
        self.agenda.run_due(now)
        if self._woken:
            self._serve(now)
        return now

    def next_moment(self) -> float | None:
        """When :meth:`run_due` next has something to do."""
        return self.agenda.next_moment()

    # -- queues

    def create_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        name = params["QueueName"]
        given = dict(params.get("Attributes") or {})
        fifo = given.get("FifoQueue", "false")
        if fifo not in ("true", "false"):
            raise faults.invalid_attribute_value("FifoQueue")
        validation.queue_name(name, fifo=fifo == "true")
        if fifo == "false":
            given.pop("FifoQueue", None)
        checked = queue_attributes.checked(given, fifo=fifo == "true")
        existing = self._queues.get(name)
        if existing is not None:
            for attribute, value in checked.items():
                if existing.attributes.get(attribute, "") != _normal(attribute, value):
                    raise faults.queue_name_exists(attribute)
            return {"QueueUrl": _url(existing, caller)}
        self._check_not_deleted_recently(name, now)
        arn = f"arn:aws:sqs:{caller.region}:{ACCOUNT_ID}:{name}"
        defaults = {**queue_attributes.DEFAULTS, **(queue_attributes.FIFO_DEFAULTS if fifo == "true" else {})}
        attributes = {**defaults, **checked}
        queue_attributes.check_together(attributes)
        self._check_dead_letter_queue(arn, attributes, fifo=fifo == "true")
        queue = Queue(
            name=name,
            arn=arn,
            attributes=attributes,
            now=now,
            agenda=self.agenda,
            next_number=self._numbers.__next__,
            dead_letter=self._dead_letter,
            woken=self._wake,
            max_in_flight=self._max_in_flight,
        )
        queue.tags.update(params.get("tags") or {})
        self._queues[name] = queue
        return {"QueueUrl": _url(queue, caller)}

    def delete_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        del self._queues[queue.name]
        self._deleted[queue.name] = now
        queue.close(now)
        return {}

    def get_queue_url(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queues.get(params["QueueName"])
        if queue is None or params.get("QueueOwnerAWSAccountId", ACCOUNT_ID) != ACCOUNT_ID:
            raise faults.queue_does_not_exist()
        return {"QueueUrl": _url(queue, caller)}

    def list_queues(self, params: Params, caller: Caller, now: float) -> Answer:
        prefix = params.get("QueueNamePrefix") or ""
        names = sorted(name for name in self._queues if name.startswith(prefix))
        return _page("QueueUrls", names, params, caller)

    def get_queue_attributes(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        wanted = params.get("AttributeNames") or ()
        for name in wanted:
            if name not in queue_attributes.KNOWN:
                raise faults.invalid_attribute_name(name)
        queue.expire(now)
        shown = {
            **queue.attributes,
            "ApproximateNumberOfMessages": str(queue.visible),
            "ApproximateNumberOfMessagesDelayed": str(queue.delayed),
            "ApproximateNumberOfMessagesNotVisible": str(queue.in_flight),
            "CreatedTimestamp": str(int(queue.created_at)),
            "LastModifiedTimestamp": str(int(queue.modified_at)),
            "QueueArn": queue.arn,
        }
        if "All" not in wanted:
            shown = {name: shown[name] for name in wanted if name in shown}
        return {"Attributes": shown} if shown else {}

    def set_queue_attributes(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        checked = queue_attributes.checked(params["Attributes"], fifo=queue.fifo)
        merged = {**queue.attributes, **checked}
        queue_attributes.check_together(merged)
        if "RedrivePolicy" in checked:
            self._check_dead_letter_queue(queue.arn, checked, fifo=queue.fifo)
        queue.set_attributes(checked, now)
        return {}

    def purge_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        recently = queue.purged_at is not None and now - queue.purged_at < WAIT_AFTER_PURGE_SECONDS
        if self._enforce_waits and recently:
            raise faults.purge_in_progress(queue.name)
        queue.purge(now)
        return {}

    def tag_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        self._queue(params).tags.update(params["Tags"])
        return {}

    def untag_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        tags = self._queue(params).tags
        for key in params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def list_queue_tags(self, params: Params, caller: Caller, now: float) -> Answer:
        tags = self._queue(params).tags
        return {"Tags": dict(tags)} if tags else {}

    def add_permission(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        validation.label(params["Label"])
        policy = permissions.add(
            queue.attributes.get("Policy", ""),
            arn=queue.arn,
            label=params["Label"],
            accounts=params["AWSAccountIds"],
            actions=params["Actions"],
        )
        queue.set_attributes({"Policy": policy}, now)
        return {}

    def remove_permission(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        policy = permissions.remove(queue.attributes.get("Policy", ""), params["Label"])
        queue.set_attributes({"Policy": policy}, now)
        return {}

    # -- messages

    def send_message(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        if queue.fifo:
            _check_group(params, faults.missing_parameter("MessageGroupId"))
            _check_deduplication(queue, params)
        return self._store(queue, self._prepare(queue, params, now), now)

    def send_message_batch(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
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
                ready = self._prepare(queue, entry, now)
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
        queue = self._queue(params)
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
        self._queue(params).delete(params["ReceiptHandle"], now)
        return {}

    def delete_message_batch(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        entries = params["Entries"]
        validation.entry_ids(entries, "DeleteMessageBatchRequestEntry")
        return _each(entries, lambda entry: queue.delete(entry["ReceiptHandle"], now))

    def change_message_visibility(self, params: Params, caller: Caller, now: float) -> Answer:
        _change_visibility(self._queue(params), params, now)
        return {}

    def change_message_visibility_batch(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        entries = params["Entries"]
        validation.entry_ids(entries, "ChangeMessageVisibilityBatchRequestEntry")
        # The model of the API lets an entry leave the timeout out; then it is the queue's.
        return _each(entries, lambda entry: _change_visibility(queue, entry, now))

    # -- dead letters

    def list_dead_letter_source_queues(self, params: Params, caller: Caller, now: float) -> Answer:
        queue = self._queue(params)
        return _page("queueUrls", [source.name for source in self._sources(queue.arn)], params, caller)

    def start_message_move_task(self, params: Params, caller: Caller, now: float) -> Answer:
        source = self._find(params["SourceArn"])
        if source is None:
            raise _no_resource("SourceArn")
        destination_arn = params.get("DestinationArn")
        rate = params.get("MaxNumberOfMessagesPerSecond")
        if rate is not None and not 1 <= rate <= move_task.MAX_RATE:
            reason = f"Must be between 1 and {move_task.MAX_RATE}, if provided."
            raise faults.invalid_value("MaxNumberOfMessagesPerSecond", rate, reason)
        if not self._sources(source.arn):
            raise faults.invalid_parameter("Source queue must be configured as a Dead Letter Queue.")
        if destination_arn is not None:
            destination = self._find(destination_arn)
            if destination is None:
                raise _no_resource("DestinationArn")
            if destination is source:
                raise faults.invalid_parameter("Source queue arn and destination queue arn cannot be the same.")
            if destination.fifo is not source.fifo:
                raise faults.invalid_parameter("Source and destination queues must be of the same type.")
        tasks = self._moves.setdefault(source.arn, deque(maxlen=move_task.MAX_REMEMBERED))
        if any(task.status is Status.RUNNING for task in tasks):
            raise faults.invalid_parameter(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
            )
        source.expire(now)
        task = MoveTask(
            source=source,
            destination_arn=destination_arn,
            rate=rate,
            now=now,
            agenda=self.agenda,
            find=self._find,
            readmit=_readmit,
            time=self.clock.now,
        )
        tasks.appendleft(task)
        return {"TaskHandle": task.handle}

    def list_message_move_tasks(self, params: Params, caller: Caller, now: float) -> Answer:
        source = self._find(params["SourceArn"])
        if source is None:
            raise _no_resource("SourceArn")
        most = params.get("MaxResults", 1)
        validation.number_between("MaxResults", most, 1, move_task.MAX_REMEMBERED)
        tasks = self._moves.get(source.arn, ())
        return {"Results": [task.describe() for task in itertools.islice(tasks, most)]}

    def cancel_message_move_task(self, params: Params, caller: Caller, now: float) -> Answer:
        task_id, source_arn = move_task.parse_handle(params["TaskHandle"])
        if self._find(source_arn) is None:
            raise _no_resource("SourceArn")
        for task in self._moves.get(source_arn, ()):
            if task.task_id == task_id:
                if task.status is not Status.RUNNING:
                    raise faults.unsupported_operation("Only active tasks can be cancelled.")
                task.cancel()
                return {"ApproximateNumberOfMessagesMoved": task.moved}
        raise faults.resource_not_found("Task does not exist.")

    # -- inside

    def _queue(self, params: Params) -> Queue:
        queue = self._queues.get(params["QueueUrl"].rpartition("/")[2])
        if queue is None:
            raise faults.queue_does_not_exist()
        return queue

    def _find(self, arn: str) -> Queue | None:
        queue = self._queues.get(arn.rpartition(":")[2])
        return queue if queue is not None and queue.arn == arn else None

    def _sources(self, arn: str) -> list[Queue]:
        """The queues that name this one as their dead-letter queue."""
        return [
            queue
            for queue in self._queues.values()
            if queue.redrive is not None and queue.redrive.dead_letter_target_arn == arn
        ]

    def _check_not_deleted_recently(self, name: str, now: float) -> None:
        deleted_at = self._deleted.pop(name, None)
        if self._enforce_waits and deleted_at is not None and now - deleted_at < WAIT_AFTER_DELETE_SECONDS:
            self._deleted[name] = deleted_at
            raise faults.queue_deleted_recently()

    def _check_dead_letter_queue(self, arn: str, attributes: Mapping[str, str], *, fifo: bool) -> None:
        text = attributes.get("RedrivePolicy")
        if not text:
            return
        policy = RedrivePolicy.parse(text)
        target = self._find(policy.dead_letter_target_arn)
        if target is None:
            raise faults.invalid_value("RedrivePolicy", text, "Dead letter target does not exist.")
        if target.fifo is not fifo:
            reason = "Dead-letter queue must be same type of queue as the source."
            raise faults.invalid_value("RedrivePolicy", text, reason)
        if not target.redrive_allow.allows(arn):
            reason = f"Queue {policy.dead_letter_target_arn} does not allow {arn} to use it as a dead-letter queue (RedriveAllowPolicy)."
            raise faults.invalid_value("RedrivePolicy", text, reason)

    def _prepare(self, queue: Queue, params: Params, now: float) -> _Prepared:
        """Check a message and make it, without storing it."""
        body = params["MessageBody"]
        if not body:
            raise faults.missing_parameter("MessageBody")
        if not (body.isascii() and body.isprintable()) and validation.has_forbidden_characters(body):
            raise faults.invalid_message_contents()
        encoded = body.encode()
        size = len(encoded)
        body_md5 = md5(encoded, usedforsecurity=False).hexdigest()
        answer: Answer = {"MD5OfMessageBody": body_md5}
        attributes = attributes_md5 = None
        if params.get("MessageAttributes"):
            attributes, bytes_of_attributes, attributes_md5 = message_attributes.examine(params["MessageAttributes"])
            size += bytes_of_attributes
            answer["MD5OfMessageAttributes"] = attributes_md5
        if size > queue.max_bytes:
            raise faults.invalid_parameter(
                f"One or more parameters are invalid. Reason: Message must be shorter than {queue.max_bytes} bytes."
            )
        trace_header = None
        system = params.get("MessageSystemAttributes")
        if system:
            trace_header = _trace_header(system)
            answer["MD5OfMessageSystemAttributes"] = message_attributes.digest(system)
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
        message = Message(
            message_id, body, body_md5, now, attributes, attributes_md5, group_id, deduplication_id, trace_header
        )
        return message, delay, size, answer

    def _store(self, queue: Queue, prepared: _Prepared, now: float) -> Answer:
        """Store a message, unless it repeats one that is remembered, and return SQS's answer."""
        message, delay, _, answer = prepared
        if not queue.fifo:
            queue.admit(message, delay, now)
            answer["MessageId"] = message.message_id
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

    def _dead_letter(self, source: Queue, message: Message, now: float) -> bool:
        """Move a message to the dead-letter queue, if there is one that takes it; else it stays where it is."""
        if source.redrive is None:
            return False
        target = self._find(source.redrive.dead_letter_target_arn)
        if target is None or target.fifo is not source.fifo or not target.redrive_allow.allows(source.arn):
            return False
        source.forget(message, now)
        message.dead_letter_source_arn = source.arn
        if source.fifo:
            # A FIFO move renews the time and takes the message id for deduplication (S31, S44).
            message.sent_at = now
            message.deduplication_id = message.message_id
        target.admit(message, 0, now)
        return True

    def _wake(self, queue: Queue) -> None:
        self._woken[queue] = None

    def _serve(self, now: float) -> None:
        while self._woken:
            queue, _ = self._woken.popitem()
            queue.serve_polls(now)


def _readmit(queue: Queue, message: Message, now: float) -> None:
    queue.admit(message, 0, now)


def _url(queue: Queue, caller: Caller) -> str:
    return f"{caller.base_url}/{ACCOUNT_ID}/{queue.name}"


def _page(key: str, names: Sequence[str], params: Params, caller: Caller) -> Answer:
    """Queue URLs by name, a page of them when MaxResults asks for it."""
    most = params.get("MaxResults")
    if most is not None:
        validation.number_between("MaxResults", most, 1, MAX_LISTED)
    after = params.get("NextToken") or ""
    names = sorted(name for name in names if name > after)
    page = names[: most or MAX_LISTED]
    answer: Answer = {key: [f"{caller.base_url}/{ACCOUNT_ID}/{name}" for name in page]} if page else {}
    if key == "queueUrls":
        answer.setdefault(key, [])
    if most is not None and len(page) < len(names):
        answer["NextToken"] = page[-1]
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
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
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


def _no_resource(parameter: str) -> SQSFault:
    text = f"The resource that you specified for the {parameter} parameter doesn't exist."
    return faults.resource_not_found(text)


def _normal(attribute: str, value: str) -> str:
    return RedrivePolicy.parse(value).text() if attribute == "RedrivePolicy" and value else value


#: The method of each action.
ACTIONS = {
    "AddPermission": "add_permission",
    "CancelMessageMoveTask": "cancel_message_move_task",
    "ChangeMessageVisibility": "change_message_visibility",
    "ChangeMessageVisibilityBatch": "change_message_visibility_batch",
    "CreateQueue": "create_queue",
    "DeleteMessage": "delete_message",
    "DeleteMessageBatch": "delete_message_batch",
    "DeleteQueue": "delete_queue",
    "GetQueueAttributes": "get_queue_attributes",
    "GetQueueUrl": "get_queue_url",
    "ListDeadLetterSourceQueues": "list_dead_letter_source_queues",
    "ListMessageMoveTasks": "list_message_move_tasks",
    "ListQueueTags": "list_queue_tags",
    "ListQueues": "list_queues",
    "PurgeQueue": "purge_queue",
    "ReceiveMessage": "receive_message",
    "RemovePermission": "remove_permission",
    "SendMessage": "send_message",
    "SendMessageBatch": "send_message_batch",
    "SetQueueAttributes": "set_queue_attributes",
    "StartMessageMoveTask": "start_message_move_task",
    "TagQueue": "tag_queue",
    "UntagQueue": "untag_queue",
}
