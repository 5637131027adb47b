"""Which letters are meant: by id, task, failure, reason, age, or an expression over the arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations.letter import Letter

#: Characters of an id that are enough to mean it.
SHORTEST_ID = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What letters have to be in order to be meant; without any condition all are.

    Attributes:
        ids: Ids of messages or jobs, or eight characters or more of their beginning or end; one of them fits.
        tasks: Names or globs of tasks; ``-`` means letters that name none.
        errors: Names or globs of exceptions' classes, whatever the case.
        reasons: Parts of the reason, whatever the case.
        older_seconds: Dead for at least so long.
        newer_seconds: Dead for no longer than this.
        where: A JMESPath expression over the arguments; letters for which it is true (not null, false or empty).
        limit: At most so many letters.
        exactly: Ids of messages that have been chosen already; None for no such choice.

    Raises:
        ConfigurationError: An id that is too short, a limit below 1, or an expression that is no JMESPath.
    """

    ids: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    older_seconds: float | None = None
    newer_seconds: float | None = None
    where: str | None = None
    limit: int | None = None
    exactly: frozenset[str] | None = field(default=None, repr=False)
    _search: Callable[[Any], Any] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for one in self.ids:
            if len(one) < SHORTEST_ID:
                raise ConfigurationError(
                    f"id {one!r} is too short to mean one letter; give {SHORTEST_ID} characters or more, as "
                    "'sqs-tasks dead ls --letters' shows them"
                )
        if self.limit is not None and self.limit < 1:
            raise ConfigurationError(f"limit={self.limit!r} must be 1 or more; leave it out for all letters")
        if self.where is not None:
            object.__setattr__(self, "_search", _compiled(self.where))

    @property
    def is_everything(self) -> bool:
        """Whether it has no condition; a limit is none."""
        given = (self.ids, self.tasks, self.errors, self.reasons, self.where)
        return not any(given) and self.exactly is None and self.older_seconds is None and self.newer_seconds is None

    @classmethod
    def only(cls, ids: Iterable[str]) -> Selection:
        """The letters with these ids, which have been looked at and chosen."""
        exactly = frozenset(ids)
        return cls(exactly=exactly, limit=len(exactly) or None)

    def limited(self, limit: int) -> Selection:
        """The same with another limit."""
        return replace(self, limit=limit)

    def matches(self, letter: Letter, now: float) -> bool:
        """Whether a letter is meant.

        Args:
            letter: The letter.
            now: The wall clock in seconds.
        """
        if self.exactly is not None and letter.id not in self.exactly:
            return False
        names = (letter.id, letter.job_id)
        if self.ids and not any(name.startswith(one) or name.endswith(one) for one in self.ids for name in names):
            return False
        if self.tasks and not any(fnmatchcase(letter.task or "-", one) for one in self.tasks):
            return False
        failure = letter.failure_type.lower()
        if self.errors and not any(fnmatchcase(failure, one.lower()) for one in self.errors):
            return False
        why = letter.why.lower()
        if self.reasons and not any(one.lower() in why for one in self.reasons):
            return False
        if self.older_seconds is not None or self.newer_seconds is not None:
            age = None if letter.at is None else now - letter.at.timestamp()
            if age is None or age < (self.older_seconds or 0):
                return False
            if self.newer_seconds is not None and age > self.newer_seconds:
                return False
        return self._search is None or _is_true(self._search, letter.arguments)


def _compiled(expression: str) -> Callable[[Any], Any]:
    import jmespath  # comes with botocore; most selections need none

    try:
        search: Callable[[Any], Any] = jmespath.compile(expression).search
    except Exception as error:
        text = " ".join(str(error).split())
        raise ConfigurationError(
            f"where={expression!r} is no JMESPath expression ({text}); try \"to == 'a@example.com'\" or 'total > `10`'"
        ) from error
    return search


def _is_true(search: Callable[[Any], Any], arguments: Any) -> bool:
    try:
        found = search(arguments)
    except Exception:  # noqa: BLE001 - a function of JMESPath met a type that it does not take
        return False
    return found is not None and found is not False and found not in ("", [], {})
