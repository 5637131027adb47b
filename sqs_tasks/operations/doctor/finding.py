"""One thing that the doctor has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

#: An error breaks something now or will; a warning may be meant. What could not be examined is unknown.
Severity = Literal["error", "warning", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or could not be examined.

    Attributes:
        kind: A name for programs, which stays the same: ``queue-missing``.
        severity: How bad it is.
        subject: What it is about: ``queue shop-emails``.
        what: What is so.
        why: Why that matters.
        fix: What to do: a command or a line of code.
    """

    kind: str
    severity: Severity
    subject: str
    what: str
    why: str
    fix: str

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain data of JSON."""
        return asdict(self)


def not_examined(subject: str, error: BaseException, fix: str) -> Finding:
    """What is said of something that nobody could look at."""
    from sqs_tasks.client import error_code

    return Finding(
        kind="not-examined",
        severity="unknown",
        subject=subject,
        what=f"it could not be examined: {error_code(error) or type(error).__name__}",
        why="a fault here would not be found",
        fix=fix,
    )
