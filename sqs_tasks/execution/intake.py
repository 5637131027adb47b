"""A message to its job and its task, or why it never runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias

from sqs_tasks.backoff_policies import BackoffPolicy, ExponentialBackoff, visibility_seconds
from sqs_tasks.codecs import DEFAULT_CONTENT_TYPE, SAFE_CONTENT_TYPES, CodecRegistry, JSONCodec
from sqs_tasks.errors import (
    JobExpiredError,
    PayloadUnavailableError,
    SignatureMismatchError,
    UndecodableMessageError,
    UnknownTaskError,
    described,
    shortened,
)
from sqs_tasks.hooks import Hook
from sqs_tasks.limits import MIN_LAMBDA_RECEIVE_COUNT
from sqs_tasks.message import CONTENT_TYPE, JOB_CONTEXT, JOB_ID, JOB_NAME, WIRE_FORMAT, Job, ReceivedMessage
from sqs_tasks.outcome import UNKNOWN_TASK_NAME, Outcome, Postponed, Rejected, Skipped, UnknownTask
from sqs_tasks.registry import RegisteredTask

logger = logging.getLogger(__name__)

#: What 'sqs-tasks canary' sends: every worker receives it, says so in its log, deletes it, and runs nothing.
CANARY_TASK = "sqs_tasks.canary"

#: A name that is not registered may be registered by the deploy that is in progress (S48). The five deliveries that a
#: queue allows at least are spread over about five minutes, which a rolling deploy fits into.
UNKNOWN_TASK_BACKOFF: BackoffPolicy = ExponentialBackoff(
    min_visibility_timeout=15, multiplier=15, max_visibility_timeout=300
)


#: Seconds for which a job is put off at least whose body S3 does not give.
UNAVAILABLE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class JobReader:
    """Reads the jobs of one queue.

    Attributes:
        queue_name: The queue's name in code.
        codecs: The environment's codecs.
        accept: The content types that may be decoded: the consumer's choice, never the message's
            (architecture, decision 6).
        readers: Foreign formats, asked in turn for messages that are not ours.
        function_of: Gives the function of a task by its name, or None.
    """

    queue_name: str
    codecs: CodecRegistry
    accept: frozenset[str] = SAFE_CONTENT_TYPES
    readers: Sequence[Callable[..., Any]] = ()
    function_of: Callable[[str], Callable[..., Any] | None] = lambda _: None

    def read(self, message: ReceivedMessage) -> Job:
        """The job a message carries.

        Raises:
            UndecodableMessageError: It carries none that this consumer reads.
        """
        job_name = message.attribute(JOB_NAME)
        if job_name is None or self.readers:
            foreign = self._read_foreign(message)
            if foreign is not None:
                return foreign
        if job_name is None:
            raise UndecodableMessageError(
                "the message has no JobName attribute; was it sent by something else? "
                "A queue for foreign messages is a RawQueue, or has readers="
            )
        content_type = message.attribute(CONTENT_TYPE) or DEFAULT_CONTENT_TYPE
        if content_type not in self.accept:
            raise UndecodableMessageError(
                f"content type {shortened(repr(content_type))} is not accepted by this consumer, which takes "
                f"{', '.join(sorted(self.accept))}; to change that, set accept= on the queue or the environment"
            )
        deserialize = self.codecs.deserializers.get(content_type) or self.codecs.get(content_type).deserialize
        job_id = message.attribute(JOB_ID)
        context_text = message.attribute(JOB_CONTEXT)
        if (
            job_id is None
            and content_type == DEFAULT_CONTENT_TYPE
            and _may_have_tags(message.body + (context_text or ""))
            and self._is_by_others(message)
        ):
            # What looks like a tag may be the sender's own dictionary.
            from sqs_tasks.wire.foreign_arguments import read

            kwargs = read(message.body, self.codecs.types, self.function_of(job_name))
            deserialize = partial(read, types=self.codecs.types, function=None)
        else:
            kwargs = deserialize(message.body)
        if not _is_by_name(kwargs):
            hint = " (it may be a pointer to S3: this queue has no offload=)" if isinstance(kwargs, list) else ""
            raise UndecodableMessageError(f"the body holds {type(kwargs).__name__}, not arguments by name{hint}")
        # Most jobs have an empty context, and nothing has to be decoded to know what that means in JSON.
        if not context_text or (context_text == "{}" and content_type == DEFAULT_CONTENT_TYPE):
            context = {}
        else:
            context = deserialize(context_text)
            if not _is_by_name(context):
                raise UndecodableMessageError("the JobContext attribute does not hold values by name")
        job_id = job_id or message.first_message_id
        if message.is_copy:
            return Job(job_name, kwargs, context, self.queue_name, message, job_id, not_before=message.not_before)
        return Job(job_name, kwargs, context, self.queue_name, message, job_id)

    def _is_by_others(self, message: ReceivedMessage) -> bool:
        """Whether a message without a JobId was written by somebody else, for our own codec of JSON."""
        return message.attribute(WIRE_FORMAT) is None and isinstance(self.codecs.get(DEFAULT_CONTENT_TYPE), JSONCodec)

    def _read_foreign(self, message: ReceivedMessage) -> Job | None:
        attributes = {
            name: attribute["StringValue"]
            for name, attribute in message.message_attributes.items()
            if "StringValue" in attribute
        }
        for reader in self.readers:
            foreign = reader(message.body, attributes, accept=self.accept)
            if foreign is not None:
                job_id = foreign.job_id or message.job_id
                message.named(foreign.job_name, job_id)
                return Job(
                    job_name=foreign.job_name,
                    args=tuple(foreign.args),
                    kwargs=foreign.kwargs,
                    context=foreign.context,
                    queue_name=self.queue_name,
                    message=message,
                    job_id=job_id,
                    not_before=message.not_before or foreign.eta,
                    expires_at=foreign.expires,
                )
        return None


#: ``isinstance(…, str)`` as one call of C: each name of each job is asked.
_is_text = str.__instancecheck__


def _may_have_tags(text: str) -> bool:
    return "$" in text or "\\u0024" in text


def _is_by_name(values: Any) -> bool:
    return isinstance(values, dict) and all(map(_is_text, values))


class TaskLookup(Protocol):
    """Where names are resolved."""

    def get(self, name: str, /) -> RegisteredTask | None:
        """The task of that name, or None."""


Decode: TypeAlias = Callable[[ReceivedMessage], Job]


@dataclass(kw_only=True, slots=True)
class Intake:
    """Takes the messages of one queue in; safe to share between threads, since it keeps nothing between them.

    Attributes:
        queue_name: The queue's name in code.
        tasks: Where task names are resolved.
        decode: Makes a job of a message; raises UndecodableMessageError.
        backoff_policy: For tasks without their own, and for what fails before its task is known.
        post_task: Called with each job that never runs, and why.
        last_receive: The receive after which a job that was not done is rejected, whatever its task allows; None
            leaves it to the queue's redrive policy, which moves it with the next receive.
        max_receive_count: Where that redrive policy's limit is, if it is registered; for the log.
        copies_at: Where the limit probably is: a job that would lose by it goes on by a copy. None without a policy.
        fifo: Whether the queue is FIFO.
        now: The wall clock in seconds, for ages and moments; a test gives that of its SQS.
        log_retries: Whether an attempt that is followed by another is logged with its traceback.
        blocks: Says of a message whether taking it in needs a request, for its body is in S3; None: none does.
    """

    queue_name: str
    tasks: TaskLookup
    decode: Decode
    backoff_policy: BackoffPolicy
    post_task: Hook[[Job, Outcome]]
    last_receive: int | None
    max_receive_count: int | None
    copies_at: int | None
    fifo: bool
    now: Callable[[], float]
    log_retries: Literal["message", "traceback"]
    blocks: Callable[[ReceivedMessage], bool] | None = None

    def take(self, message: ReceivedMessage) -> tuple[Job, RegisteredTask] | Outcome:
        """A message's job and its task, or why it never runs: all that can be said before its task runs (S49)."""
        decode = self.decode
        try:
            job = decode(message)
        except UndecodableMessageError as error:
            return self._refuse(message, error)
        except PayloadUnavailableError as error:
            return self._unavailable(message, error)
        except Exception as error:  # a custom codec, reader or registered type: user code fed by a message
            # Its text and its frames may hold the message's values, which are logged for those who ask for DEBUG.
            logger.error(  # noqa: TRY400
                "cannot decode the message: %s in %s",
                type(error).__name__,
                _place(error),
                extra={"action": "decode_failed", **message.log_fields(self.queue_name)},
            )
            logger.debug("how decoding failed", exc_info=error, extra=message.log_fields(self.queue_name))
            return self._refuse(message, UndecodableMessageError(f"{type(error).__name__} while decoding"))
        task = self.tasks.get(job.job_name)
        if task is None:
            return self._unknown(job)
        if (
            job.args
            or job.expires_at is not None
            or job.not_before is not None
            or task.settings.max_age is not None
            or task.schedules
            or task.batch_size
        ):
            return self._checked(job, task)
        return job, task

    def batch_task(self, message: ReceivedMessage) -> RegisteredTask | None:
        """The batch processor this message is for, or None when its job runs alone."""
        try:
            task = self.tasks.get(message.job_name)
        except Exception:  # noqa: BLE001 - a message's name is untrusted; take() will say what is wrong with it
            return None
        return task if task is not None and task.batch_size else None

    def task_name(self, message: ReceivedMessage) -> str:
        """The name that metrics count a message under: its task's, or ``(unknown)``; senders must not make new ones.

        A job of another library has its task's name as soon as its message was read.
        """
        task = self.tasks.get(message.job_name)
        return UNKNOWN_TASK_NAME if task is None else task.name

    def is_last_attempt(self, message: ReceivedMessage, task: RegisteredTask) -> bool:
        """Whether a job that fails now goes to the dead-letter queue, as far as that is known."""
        attempts = task.settings.max_attempts
        if attempts is not None and message.attempt >= attempts:
            return True
        if attempts is None and message.is_copy and self.copies_at is not None and message.attempt >= self.copies_at:
            return True  # its receives are spread over several messages
        most = self.last_receive or self.max_receive_count
        if most is None:
            return attempts is None and message.attempt >= MIN_LAMBDA_RECEIVE_COUNT
        return message.receive_count >= most and (attempts is None or self.fifo)

    def _checked(self, job: Job, task: RegisteredTask) -> tuple[Job, RegisteredTask] | Outcome:
        """What few jobs have: positional arguments, and moments between which they may run."""
        taken = self._checked_in_time(job, task)
        if not isinstance(taken, tuple):
            for guard in task.guards:
                try:
                    guard.never_ran(job, taken)
                except Exception:  # what becomes of the job is decided; a guard that fails changes nothing of it
                    logger.exception("a guard failed", extra={"action": "guard_failed", **job.log_fields})
        return taken

    def _checked_in_time(self, job: Job, task: RegisteredTask) -> tuple[Job, RegisteredTask] | Outcome:
        try:
            processor = task.processor
            if job.args:
                bind = processor.bind_item if task.batch_size else processor.signature.bind
                job = replace(job, kwargs=bind(job.args, job.kwargs), args=())
            expired = self._check_age(job, task)
            if expired is not None:
                return expired
            if task.batch_size:  # here, where it fails alone, and not in the call that it shares with others
                kwargs = processor.item_arguments(job.kwargs)
                job = job if kwargs is job.kwargs else replace(job, kwargs=kwargs)
        except (JobExpiredError, SignatureMismatchError) as error:
            return self._refuse(job.message, error, job)
        except TypeError as error:  # positional arguments of a foreign message that do not fit
            return self._refuse(job.message, SignatureMismatchError(str(error)), job)
        if task.schedules and (skipped := self._skipped(job, task)) is not None:
            return skipped
        early_seconds = 0 if job.not_before is None else job.not_before.timestamp() - self.now()
        if early_seconds > 0:
            return self._early(job, task, early_seconds)
        return job, task

    def _early(self, job: Job, task: RegisteredTask, seconds: float) -> Postponed:
        # No receive of this message was an attempt.
        attempts = job.message.attempts_before
        reason = f"it must not run before {job.not_before}"
        return put_off(job, task, seconds, reason, attempts=attempts, is_known=True)

    def _check_age(self, job: Job, task: RegisteredTask) -> Skipped | None:
        """The outcome of a job that is too old, where its task has it dropped.

        Raises:
            JobExpiredError: It is too old.
        """
        reason = self._why_expired(job, task)
        if reason is None:
            return None
        if task.settings.expired == "drop":
            return self.skip(job, task.name, reason)
        raise JobExpiredError(reason)

    def _why_expired(self, job: Job, task: RegisteredTask) -> str | None:
        if job.expires_at is not None and job.expires_at.timestamp() < self.now():
            return f"the job must not run after {job.expires_at}"
        max_age, sent_at = task.settings.max_age, job.message.first_sent_at
        if max_age is None or sent_at is None:
            return None
        age = self.now() - sent_at.timestamp()
        return f"the job waited {age:.0f} s, longer than max_age={max_age:g} s" if age > max_age else None

    def _skipped(self, job: Job, task: RegisteredTask) -> Skipped | None:
        """The outcome of a schedule's run that comes too late; None for one in time, and for all other jobs."""
        scheduled_for = job.scheduled_for
        if scheduled_for is None:
            return None
        name = job.job_id.rpartition("@")[0]
        late_seconds = next((one.schedule.late_seconds for one in task.schedules.values() if one.name == name), None)
        if late_seconds is None:
            return None
        if job.message.is_copy:
            return None  # it was received in time, and put off
        # A run that was received in time and is tried again has begun in time.
        received_at = job.message.first_received_at if job.message.receive_count > 1 else None
        seconds = (self.now() if received_at is None else received_at.timestamp()) - scheduled_for.timestamp()
        if seconds <= late_seconds or (received_at is None and job.message.receive_count > 1):
            return None
        return self.skip(
            job, task.name, f"it came {seconds:.0f} s after its time, more than late_seconds={late_seconds:g}"
        )

    def skip(self, job: Job, task_name: str, reason: str, *, was_done: bool = False) -> Skipped:
        """The outcome of a job that must not run; it is logged here, and the hooks are called."""
        outcome = Skipped(reason=reason, was_done=was_done)
        logger.warning(
            "job %s skipped: %s",
            job.job_name,
            outcome.reason,
            extra={"action": "job_skipped", "task_name": task_name, "reason": outcome.reason, **job.log_fields},
        )
        self.post_task.emit(job, outcome)
        return outcome

    def _unknown(self, job: Job) -> Outcome:
        if job.job_name == CANARY_TASK:
            return self.skip(job, UNKNOWN_TASK_NAME, "it is a canary, which this worker has received")
        delay = visibility_seconds(UNKNOWN_TASK_BACKOFF, job.message) or 0
        name = shortened(repr(job.job_name))
        if self.last_receive is not None and job.message.receive_count >= self.last_receive:
            return self._refuse(job.message, UnknownTaskError(f"task {name} is not registered"), job)
        logger.error(
            "unknown task %s on queue %r; it comes back in %d s, and in the end the redrive policy decides",
            name,
            self.queue_name,
            delay,
            extra={"action": "unknown_task", "task_name": UNKNOWN_TASK_NAME, **job.log_fields},
        )
        outcome = UnknownTask(job_name=job.job_name, delay_seconds=delay)
        self.post_task.emit(job, outcome)
        return outcome

    def _unavailable(self, message: ReceivedMessage, error: PayloadUnavailableError) -> Postponed:
        """The outcome of a message whose body cannot be fetched: it goes on later, and this was no attempt."""
        delay = max(visibility_seconds(self.backoff_policy, message) or 0, UNAVAILABLE_SECONDS)
        logger.error(
            "job %s was not started: %s; it goes on in %d s",
            shortened(repr(message.job_name)),
            error,
            delay,
            extra={
                "action": "payload_unavailable",
                "task_name": self.task_name(message),
                **message.log_fields(self.queue_name),
            },
        )
        return Postponed(delay_seconds=delay, attempts=message.attempt - 1, reason=str(error), error=error)

    def _refuse(self, message: ReceivedMessage, error: Exception, job: Job | None = None) -> Outcome:
        """The outcome of a message that must never run: no attempt will make it better."""
        reason = described(error)
        logger.error(
            "message rejected: %s",
            reason,
            extra={
                "action": "job_rejected",
                "task_name": self.task_name(message),
                "reason": reason,
                **message.log_fields(self.queue_name),
            },
        )
        outcome = Rejected(
            reason=reason,
            delay_seconds=visibility_seconds(self.backoff_policy, message),
            error=error,
        )
        if job is not None:
            self.post_task.emit(job, outcome)
        return outcome


def put_off(
    job: Job,
    task: RegisteredTask,
    seconds: float,
    reason: str,
    *,
    attempts: int,
    is_known: bool = False,
    error: BaseException | None = None,
) -> Postponed:
    """The outcome of a job that goes on later, in a second at the earliest; it is logged here."""
    wait = max(math.ceil(seconds), 1)
    logger.info(
        "job %s put off for %d s: %s",
        job.job_name,
        wait,
        reason,
        extra={"action": "job_postponed", "task_name": task.name, **job.log_fields},
    )
    return Postponed(reason=reason, delay_seconds=wait, attempts=attempts, is_known=is_known, error=error)


def _place(error: Exception) -> str:
    """The file and line that an exception comes from."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
