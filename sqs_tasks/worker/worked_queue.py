"""What the worker asks of a queue: anything with these members can be worked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqs_tasks.execution.executor import Executor
from sqs_tasks.execution.runtime import CoroutineRunner, Interrupter, Watch
from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.hooks import AroundRequest
from sqs_tasks.protocols import SQSClient
from sqs_tasks.registry import RegisteredTask
from sqs_tasks.settings import QueueSettings


class WorkedEnvironment(Protocol):
    """What the worker asks of a queue's environment."""

    @property
    def client(self) -> Callable[[], SQSClient]:
        """Gives the client."""

    @property
    def around_request(self) -> AroundRequest | None:
        """Makes the context of each request, or None."""


class WorkedQueue(Protocol):
    """What the worker asks of a queue."""

    @property
    def name(self) -> str:
        """The name in code."""

    @property
    def settings(self) -> QueueSettings:
        """What the registration says."""

    @property
    def queue_url(self) -> str:
        """The URL; raises QueueNotFoundError."""

    @property
    def tasks(self) -> Sequence[RegisteredTask]:
        """What is registered."""

    @property
    def env(self) -> WorkedEnvironment:
        """The environment."""

    def executor(
        self,
        *,
        run_coroutine: CoroutineRunner | None = None,
        interrupter: Interrupter | None = None,
        watch: Watch | None = None,
    ) -> Executor:
        """What runs its messages."""

    def settlement(self) -> Settlement:
        """What settles its messages."""
