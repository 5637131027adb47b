"""Many jobs that ask for the same work: one run for those that were sent before it. ``unique=…`` and ``debounce=…``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError


@dataclass(frozen=True)
class Unique:
    """Jobs of one value are the same work: one that comes after the work was done is skipped.

    Attributes:
        by: The argument by whose values jobs are the same; None where all jobs of the task are.
        until: Which runs count for a job. ``"started"``: those that began after it was sent, so that each update is
            followed by a run that has seen it. ``"finished"``: those as well that were in progress when it was sent.
        while_running: What becomes of a job that comes while one of the same value runs. ``"wait"``: it is put off
            until that has ended, and then decided. ``"skip"``: it is skipped, if that run counts for it.
    """

    by: str | None = None
    until: Literal["started", "finished"] = "started"
    while_running: Literal["skip", "wait"] = "wait"

    def __post_init__(self) -> None:
        check_by(self.by, "Unique")
        for name, allowed in (("until", ("started", "finished")), ("while_running", ("skip", "wait"))):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"Unique: {name}={getattr(self, name)!r} must be {' or '.join(map(repr, allowed))}; leave it out "
                    f"for {getattr(Unique, name)!r}"
                )


@dataclass(frozen=True)
class Debounce:
    """Of the jobs of one value that are sent shortly after each other the last one runs, with its arguments.

    Attributes:
        by: The argument by whose values jobs are counted apart; None for all of the task together.
        quiet_seconds: How long after the last send it runs, 1 to 900: SQS holds each job back so long.
        at_most_seconds: After how long a job runs although others follow it; None for never.
    """

    by: str | None = None
    quiet_seconds: int = 15
    at_most_seconds: float | None = None

    def __post_init__(self) -> None:
        check_by(self.by, "Debounce")
        limits.check_number(self.quiet_seconds, "Debounce: quiet_seconds", 1, limits.MAX_DELAY_SECONDS, unit="seconds")
        if self.at_most_seconds is not None:
            limits.check_number(
                self.at_most_seconds,
                "Debounce: at_most_seconds",
                self.quiet_seconds,
                limits.MAX_RETENTION_SECONDS,
                unit="seconds",
                whole=False,
            )


def check_by(by: object, label: str) -> None:
    """Refuse what is no name of an argument.

    Raises:
        ConfigurationError: It is none.
    """
    if by is not None and not isinstance(by, str):
        raise ConfigurationError(f"{label}: by={by!r} must be the name of an argument; try by='customer_id'")
