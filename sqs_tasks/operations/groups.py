"""Letters that ended alike: of one task, with one kind of failure, for one reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqs_tasks.operations.letter import Letter

#: What differs between two letters that ended alike, and what stands for it: ids, numbers, quoted values.
_VALUES = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "'…'"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+"), "<address>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "N"),
)

#: Groups that are told apart in one look; further letters are counted in one group.
MOST_GROUPS = 1_000


@dataclass(kw_only=True)
class LetterGroup:
    """Letters that ended alike.

    Attributes:
        task: Their task; empty where they name none.
        failure_type: The class of the exception.
        reason: The reason, with ``N`` for numbers and ``'…'`` for values.
        content, ending: As of a letter.
        count: How many.
        first, last: When the first and the last of them died, as near as they say.
        example: The id of the first that was seen.
    """

    task: str
    failure_type: str
    reason: str
    content: str
    ending: str
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    example: str = ""

    def add(self, letter: Letter) -> None:
        """Count a letter."""
        self.count += 1
        self.example = self.example or letter.id
        if letter.at is not None:
            self.first = letter.at if self.first is None else min(self.first, letter.at)
            self.last = letter.at if self.last is None else max(self.last, letter.at)

    def as_dict(self) -> dict[str, Any]:
        """The group as plain data of JSON."""
        return {
            "task": self.task or None,
            "failure_type": self.failure_type or None,
            "reason": self.reason,
            "content": self.content,
            "ending": self.ending,
            "count": self.count,
            "first": _iso(self.first),
            "last": _iso(self.last),
            "example": self.example,
        }


def grouped(letters: Iterable[Letter]) -> list[LetterGroup]:
    """The groups of letters, the greatest first; among equals the one that began first."""
    groups: dict[tuple[str, ...], LetterGroup] = {}
    for letter in letters:
        why = without_values(letter.why)
        key: tuple[str, ...] = (letter.task, letter.failure_type, why, letter.content, letter.ending)
        if key not in groups and len(groups) >= MOST_GROUPS:
            key = ("", "", "others", "", "")
        if key not in groups:
            task, failure_type, reason, content, ending = key
            groups[key] = LetterGroup(
                task=task, failure_type=failure_type, reason=reason, content=content, ending=ending
            )
        groups[key].add(letter)
    last = datetime.max.replace(tzinfo=UTC)
    return sorted(groups.values(), key=lambda group: (-group.count, group.first or last, group.task))


def without_values(reason: str) -> str:
    """A reason without what differs between two letters that ended alike."""
    for pattern, sign in _VALUES:
        reason = pattern.sub(sign, reason)
    return reason


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")
