"""A letter with other arguments, sent as a new job that names the old one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks.errors import ConfigurationError, SignatureMismatchError, UndecodableMessageError
from sqs_tasks.execution.dead_letter_copier import without_failure
from sqs_tasks.execution.message_copy import kept_attributes
from sqs_tasks.message import CONTENT_TYPE, JOB_ID, WIRE_FORMAT, Job, OutgoingMessage, string_attribute
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.look import look
from sqs_tasks.operations.report import Report
from sqs_tasks.operations.retrying import resend_one
from sqs_tasks.operations.selection import Selection
from sqs_tasks.queue import JobQueue


@dataclass(frozen=True, kw_only=True)
class EditedJob:
    """The job of a letter whose arguments can be changed.

    Attributes:
        letter: The letter.
        queue: The registered queue that the new job goes to.
        job: The job as a worker would read it.
    """

    letter: Letter
    queue: JobQueue
    job: Job

    @classmethod
    def of(cls, queue: LetterQueue, letter: Letter) -> EditedJob:
        """The job of a letter.

        Raises:
            ConfigurationError: It is no job that can be read, or its task is not registered.
        """
        home = queue.task_queue(letter)
        if not isinstance(home, JobQueue):
            raise ConfigurationError(
                f"letter {letter.id} does not belong to a registered queue of jobs, so nobody can check its arguments; "
                "name the application that its task belongs to"
            )
        if letter.content != "job" or letter.arguments is None or home.registry.get(letter.task) is None:
            known = ", ".join(task.name for task in home.tasks) or "none"
            why = letter.problem or f"queue {home.name!r} has no task {letter.task!r}; there are {known}"
            raise ConfigurationError(f"letter {letter.id} cannot be edited: {why}")
        try:
            return cls(letter=letter, queue=home, job=home.job(letter.message))
        except UndecodableMessageError as error:
            raise ConfigurationError(f"letter {letter.id} cannot be edited: {error}") from error

    @property
    def text(self) -> str:
        """The arguments as JSON to edit, with tags where JSON has no such value."""
        return json.dumps(self.letter.arguments, indent=2, ensure_ascii=False) + "\n"

    def arguments_in(self, text: str) -> dict[str, Any]:
        """The arguments in a text that was edited.

        Raises:
            ConfigurationError: It is no object of JSON.
        """
        try:
            found = self.queue.env.codecs.get("json").deserialize(text)
        except UndecodableMessageError as error:
            raise ConfigurationError(f"the arguments are not JSON: {error}") from error
        if not isinstance(found, dict):
            raise ConfigurationError(f"the arguments must be an object of JSON, not {type(found).__name__}")
        return found

    def message(self, arguments: Mapping[str, Any]) -> OutgoingMessage:
        """The message of the new job: the letter's context, group and attributes, and an id that begins with the old.

        Raises:
            ConfigurationError: The arguments do not fit the task's signature.
        """
        task = self.queue.registry.get(self.letter.task)
        bind = task.processor.bind_item if task and task.batch_size else task and task.processor.signature.bind
        try:
            bound = bind((), arguments) if bind else dict(arguments)
        except (TypeError, SignatureMismatchError) as error:
            raise ConfigurationError(f"the arguments do not fit task {self.letter.task!r}: {error}") from error
        old = self.letter.message
        given = without_failure(kept_attributes(old))
        content_type = old.attribute(CONTENT_TYPE) or "json"
        codec = self.queue.env.codecs.get(content_type)
        new_id = f"{self.letter.job_id}/edit-{uuid.uuid4().hex[:8]}"
        given.pop(WIRE_FORMAT, None)
        return OutgoingMessage(
            body=codec.serialize(bound),
            attributes={**given, JOB_ID: string_attribute(new_id)},
            group_id=old.group_id or ("default" if self.queue.fifo else None),
            deduplication_id=f"edit-{uuid.uuid4()}" if self.queue.fifo else None,
            trace_header=old.trace_header,
            job_name=self.letter.task,
            job_id=new_id,
        )


def edit(
    queue: LetterQueue,
    letter: Letter,
    arguments: Mapping[str, Any],
    *,
    to: str | None = None,
    before: Callable[[Letter], None] = lambda _: None,
) -> tuple[Report, str]:
    """Send a letter's job with other arguments, then drop the letter.

    Args:
        queue: The dead-letter queue.
        letter: The letter, as a look gave it. It need not be held: it is looked for again.
        arguments: All arguments of the new job.
        to: The URL of the queue; None for the letter's own.
        before: Called before it is sent.

    Returns:
        What was done, and the id of the new job. Nothing is done when the letter is there no longer.

    Raises:
        ConfigurationError: It cannot be edited, or the arguments do not fit.
    """
    edited = EditedJob.of(queue, letter)
    message = edited.message(arguments)
    target = to or edited.queue.queue_url
    report = Report()
    with look(queue, Selection.only([letter.id])) as letters:
        for found in letters:
            report.matched += 1
            resend_one(letters, found, target, message, report, before=before)
        report.seen, report.hidden, report.behind = letters.seen, letters.hidden, letters.behind
    return report, message.job_id or ""
