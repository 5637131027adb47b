"""The options of a child: the application and how to run it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, Self

Runtime = Literal["worker", "lambda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """The options of ``sqs-tasks dev`` that concern the child.

    Attributes:
        app: ``module:attribute``.
        queues: Names or patterns of the queues to work; none means all.
        runtime: As a container or as Lambda would.
        concurrency: Jobs at once in the worker, or invocations at once for each queue.
        grace_seconds: How long running jobs may take to finish before a restart.
        faults: The simulator's faults.
        seed: Makes the faults repeatable.
        log_level: The lowest level that is logged.
        managed: The queues whose functions run on Lambda Managed Instances.
    """

    app: str
    queues: tuple[str, ...] = ()
    runtime: Runtime = "worker"
    concurrency: int = 10
    grace_seconds: float = 5
    faults: str = ""
    seed: str | None = None
    log_level: str = "info"
    managed: tuple[str, ...] = ()

    def as_json(self) -> str:
        """The options as the child reads them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The options that :meth:`as_json` gave."""
        fields = json.loads(text)
        return cls(**{**fields, "queues": tuple(fields["queues"]), "managed": tuple(fields["managed"])})
