"""A job as whoever sent it sees it: its state, its result, and a way to end it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sqs_tasks.errors import ConfigurationError, JobNotSucceededError
from sqs_tasks.guards.guard import RememberingEnvironment
from sqs_tasks.guards.job_record import ENDED, JobRecord, read_record, record_key, transition
from sqs_tasks.store.protocol import Condition, Item, Store

#: Seconds between two looks at a job that somebody waits for: at first, and at most.
FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.1, 2.0


class JobHandle:
    """A job of a task with ``record=True``, from any process: ``env.job(job_id)``.

    Args:
        env: The environment.
        job_id: The job's id.

    Attributes:
        job_id: The same.
    """

    def __init__(self, env: RememberingEnvironment, job_id: str) -> None:
        if env.store is None:
            raise ConfigurationError(
                f"job {job_id!r}: nothing is known of it, since the environment has no store; try "
                "SQSEnv(store=DynamoDBStore('jobs')), and record=True on the task"
            )
        self._env = env
        self.job_id = job_id

    # --- looking ----------------------------------------------------------------------------------------------------

    def record(self) -> JobRecord | None:
        """All that is known of the job, by one read; None where there is no record.

        There is none if its task has no ``record=True``, if it was kept long enough, and for a moment after the send.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        item = self._item()
        return None if item is None else read_record(self.job_id, item, self._env.client.now())

    def status(self) -> str:
        """The job's state, see :class:`~sqs_tasks.guards.job_record.JobRecord`; ``"unknown"`` without a record."""
        record = self.record()
        return "unknown" if record is None else record.state

    def wait(self, timeout: float | None = None) -> JobRecord:
        """Wait until the job has ended, and return its record. It looks ten times a second at first, later every two.

        Args:
            timeout: Seconds; None for as long as it takes.

        Raises:
            TimeoutError: It has not ended yet.
        """
        for pause in _pauses(timeout):
            record = self.record()
            if record is not None and record.has_ended:
                return record
            time.sleep(pause)
        raise self._not_yet(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the job has succeeded, and return what its task returned.

        Args:
            timeout: Seconds; None for as long as it takes.

        Raises:
            TimeoutError: It has not ended yet.
            JobNotSucceededError: It ended otherwise, or its result could not be kept; the text says why.
        """
        for pause in _pauses(timeout):
            item = self._item()
            if item is not None and item.get("state") in ENDED:
                return self._result_in(item)
            time.sleep(pause)
        raise self._not_yet(timeout)

    def cancel(self) -> bool:
        """Ask for the job's end; whether it had not ended yet.

        A job that has not begun ends as cancelled when it comes. One that runs finds ``current_job().cancelled`` true
        within some seconds, and decides itself. There must be a record: without one nothing is asked for.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        now = self._env.client.now()
        name, value = transition(now, "cancel-requested", 0, "sender00")
        for _ in range(len(ENDED) + 3):  # the state can change between the read and the write
            item = self._item()
            if item is None or item.get("state") in ENDED:
                return False
            state = item["state"]
            done = self._store.update(
                record_key(self.job_id), {"cancel": now, name: value}, when=[Condition("state", "=", state)]
            ).done
            if done:
                return True
        return False

    # --- the same for coroutines ------------------------------------------------------------------------------------

    async def arecord(self) -> JobRecord | None:
        """As :meth:`record`, while the event loop goes on."""
        record: JobRecord | None = await _in_thread(self.record)
        return record

    async def astatus(self) -> str:
        """As :meth:`status`, while the event loop goes on."""
        return str(await _in_thread(self.status))

    async def await_(self, timeout: float | None = None) -> JobRecord:  # noqa: ASYNC109 - as the plain one has it
        """As :meth:`wait`, while the event loop goes on."""
        import asyncio

        for pause in _pauses(timeout):
            record = await self.arecord()
            if record is not None and record.has_ended:
                return record
            await asyncio.sleep(pause)
        raise self._not_yet(timeout)

    async def aresult(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as the plain one has it
        """As :meth:`result`, while the event loop goes on."""
        await self.await_(timeout)
        return await _in_thread(self.result)

    async def acancel(self) -> bool:
        """As :meth:`cancel`, while the event loop goes on."""
        return bool(await _in_thread(self.cancel))

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - looked at when this was made
        return store

    def _item(self) -> Item | None:
        return self._store.get(record_key(self.job_id))

    def _result_in(self, item: Item) -> Any:
        state, why = item.get("state"), str(item.get("reason") or item.get("result_error") or "no reason is recorded")
        text, content_type = item.get("result"), item.get("result_type")
        if state != "succeeded" or not isinstance(text, str) or not isinstance(content_type, str):
            raise JobNotSucceededError(
                f"job {self.job_id} has no result: it is {state!s} ({why}); look at .record() for its history",
                state=str(state),
            )
        return self._env.codecs.get(content_type).deserialize(text)["result"]

    def _not_yet(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(
            f"job {self.job_id} has not ended after {timeout:g} s; it is {self.status()}; wait longer, or ask again"
        )

    def __repr__(self) -> str:
        return f"JobHandle({self.job_id!r})"


def _pauses(timeout: float | None) -> Iterator[float]:
    """The pauses after each look; after the last one there is a look more."""
    pause, end = FIRST_LOOK_SECONDS, None if timeout is None else time.monotonic() + timeout
    while True:
        left = pause if end is None else end - time.monotonic()
        if left <= 0:
            yield 0
            return
        yield min(pause, left)
        pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)


async def _in_thread(call: Any) -> Any:
    import asyncio  # most who look are no coroutines

    return await asyncio.to_thread(call)
