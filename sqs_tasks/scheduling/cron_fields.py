"""The fields of a cron expression: lists, ranges and steps of numbers and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqs_tasks.errors import ConfigurationError

MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

#: Sunday is 1, as in Quartz, and unlike Unix, where it is 0.
WEEKDAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True)
class CronField:
    """One of the six places of an expression.

    Attributes:
        name: AWS's name of it.
        least: The smallest number.
        most: The largest number.
        names: Numbers by name.
        steps: Whether AWS documents steps (``/``) here.
    """

    name: str
    least: int
    most: int
    names: Mapping[str, int] = field(default_factory=dict)
    steps: bool = True

    @property
    def allowed(self) -> str:
        """What the field takes, for error texts."""
        if not self.names:
            return f"{self.least}-{self.most}"
        named = list(self.names)
        return f"{self.least}-{self.most} or {named[0]}-{named[-1]}"

    def values(self, text: str, whole: str) -> tuple[int, ...]:
        """The numbers that a list of values, ranges and steps stands for, in order.

        Args:
            text: The field, in capitals.
            whole: The expression it is part of, for error texts.

        Raises:
            ConfigurationError: It cannot be read, or a number is out of range.
        """
        found: set[int] = set()
        for part in text.split(","):
            found.update(self._part(part, whole))
        return tuple(sorted(found))

    def number(self, text: str, whole: str) -> int:
        """One number or name."""
        value = self.names.get(text)
        if value is None and text.isascii() and text.isdecimal():
            value = int(text)
        if value is None:
            raise self.refusal(text, whole)
        if not self.least <= value <= self.most:
            raise self.refusal(text, whole)
        return value

    def refusal(self, part: str, whole: str, hint: str = "") -> ConfigurationError:
        """What to say of a part that cannot be read."""
        return ConfigurationError(
            f"cron {whole!r}: {self.name} has {part!r}; it takes {self.allowed}, lists (1,2), ranges (1-5), "
            f"{'steps (0/5), ' if self.steps else ''}and *{hint or self._hint(part)}"
        )

    def _part(self, part: str, whole: str) -> Sequence[int]:
        base, slash, step_text = part.partition("/")
        first, dash, last = base.partition("-")
        if base == "*":
            start, end = self.least, self.most
        elif dash:
            start, end = self.number(first, whole), self.number(last, whole)
            if start > end:
                raise self.refusal(part, whole, f"; a range counts upwards: write two, {self._two(start, end)}")
        else:
            start = self.number(first, whole)
            end = self.most if slash else start
        if not slash:
            return range(start, end + 1)
        if not self.steps:
            listed = "" if not step_text.isdecimal() or int(step_text) < 1 else self._listed(start, int(step_text))
            raise self.refusal(part, whole, f"; name the values{listed}")
        if not (step_text.isascii() and step_text.isdecimal() and 1 <= int(step_text) <= self.most):
            raise self.refusal(part, whole, f"; a step is 1 to {self.most}, as in {first or '0'}/5")
        return range(start, end + 1, int(step_text))

    def _two(self, start: int, end: int) -> str:
        return f"{self._name(start)}-{self._name(self.most)},{self._name(self.least)}-{self._name(end)}"

    def _listed(self, start: int, step: int) -> str:
        return f", {','.join(self._name(value) for value in range(start, self.most + 1, step))}"

    def _name(self, value: int) -> str:
        return next((name for name, number in self.names.items() if number == value), str(value))

    def _hint(self, part: str) -> str:
        if self.name == "day-of-week" and part == "0":
            return "; Sunday is 1 or SUN here"
        return "; try *"


MINUTES = CronField("minutes", 0, 59)
HOURS = CronField("hours", 0, 23)
DAY_OF_MONTH = CronField("day-of-month", 1, 31)
MONTH = CronField("month", 1, 12, {name: number for number, name in enumerate(MONTH_NAMES, 1)})
DAY_OF_WEEK = CronField(
    "day-of-week", 1, 7, {name: number for number, name in enumerate(WEEKDAY_NAMES, 1)}, steps=False
)
YEAR = CronField("year", 1970, 2199)
