"""A limit that several tasks share by its name, and that a part of a task can be put under."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType

from sqs_tasks.errors import ConfigurationError, StoreUnavailableError
from sqs_tasks.guards import concurrency, limiting
from sqs_tasks.guards.guard import UNAVAILABLE_SECONDS, RememberingEnvironment
from sqs_tasks.guards.leases import LEASES
from sqs_tasks.message import new_job_id
from sqs_tasks.outcome import Postpone
from sqs_tasks.store.limits import ConcurrencyLimit, Limit
from sqs_tasks.store.protocol import Store


class NamedLimit:
    """A limit with a name: ``crm = env.limit("crm", RateLimit(10))``.

    It stands in ``limits=[crm]`` of any number of tasks. Inside a task ``with crm():`` puts a part of it under the
    limit: where it is reached the task's job is put off, and begins from its first line later. ``async with`` too.

    Attributes:
        name: The name.
        limit: The limit.
    """

    def __init__(self, env: RememberingEnvironment, name: str, limit: Limit) -> None:
        self._env = env
        if env.store is None:
            raise ConfigurationError(
                f"limit {name!r} needs a store, and the environment has none; try SQSEnv(store=DynamoDBStore('jobs'))"
            )
        self.name = name
        self.limit = limit

    def __call__(self, value: object = None) -> HeldLimit:
        """The limit for one value, as a context.

        Args:
            value: What is counted apart: a tenant's id, say; None for all together.
        """
        return HeldLimit(self._env, limiting.ScopedLimit(self.name, self.limit), value)

    def __repr__(self) -> str:
        return f"NamedLimit({self.name!r}, {self.limit})"


class HeldLimit:
    """The context of one use of a limit; it can be entered once."""

    def __init__(self, env: RememberingEnvironment, scoped: limiting.ScopedLimit, value: object) -> None:
        self._env = env
        self._scoped = scoped
        self._value = value
        self._run_id = new_job_id()
        self._began_at = 0.0

    def __enter__(self) -> None:
        """Begin within the limit.

        Raises:
            Postpone: It is reached, or the store does not answer; let it pass, and the job is put off.
        """
        self._began_at = self._env.client.now()
        try:
            # As one that has waited: nobody can tell whether this part of its task was reached before.
            seconds = limiting.take(
                self._store, self._scoped, self._value, self._began_at, self._run_id, has_waited=True
            )
        except StoreUnavailableError as error:
            raise Postpone(UNAVAILABLE_SECONDS, f"the limit {self._scoped.scope!r} cannot be asked") from error
        if seconds is not None:
            raise Postpone(seconds, f"the limit {self._scoped.scope!r} is reached")
        if isinstance(self._scoped.limit, ConcurrencyLimit):
            LEASES.add(self._run_id, self._beat)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give a slot back."""
        if isinstance(self._scoped.limit, ConcurrencyLimit):
            LEASES.remove(self._run_id)
            seconds = self._env.client.now() - self._began_at
            with suppress(StoreUnavailableError):  # then its lease ends by itself
                concurrency.give_back(self._store, self._scoped.key(self._value), self._run_id, seconds)

    async def __aenter__(self) -> None:
        """As ``with``, while the event loop goes on."""
        asyncio = sys.modules["asyncio"]  # it is there, since this is a coroutine of it
        await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_error: object) -> None:
        """Give a slot back."""
        asyncio = sys.modules["asyncio"]
        await asyncio.shield(asyncio.to_thread(self.__exit__, None, None, None))

    def _beat(self) -> None:
        concurrency.prolong(self._store, self._scoped.key(self._value), self._env.client.now(), self._run_id)

    @property
    def _store(self) -> Store:
        store = self._env.store
        assert store is not None  # noqa: S101 - the environment has looked
        return store
