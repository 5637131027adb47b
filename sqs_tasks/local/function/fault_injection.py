"""Faults: what goes wrong on purpose, how often, and reproducibly."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from sqs_tasks.errors import ConfigurationError


class Fault(StrEnum):
    """One way in which an invocation is lost; each leaves the whole batch undeleted (S11)."""

    TIMEOUT = "timeout"
    CRASH = "crash"
    OUT_OF_MEMORY = "oom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults(Mapping[str, float]):
    """The probability of each fault, 0 to 1; a fault that is not named never happens.

    Example:
        >>> Faults.parse("throttle=0.05,crash=0.01")["throttle"]
        0.05

    Attributes:
        throttle: An invocation attempt is refused; the batch is retried while its records are invisible (S19).
        timeout: An invocation runs into the function's timeout.
        crash: The runtime exits in an invocation; the environment is replaced.
        oom: The runtime is killed because it used too much memory; the environment is replaced.
        duplicate: A record that was delivered is delivered again, in the same batch or in a later one (S6).
        cold_start: A warm environment is replaced before the invocation.
        slow_window: A batching window takes twenty seconds where it should take less, as on a quiet queue (S32).
    """

    throttle: float = 0.0
    timeout: float = 0.0
    crash: float = 0.0
    oom: float = 0.0
    duplicate: float = 0.0
    cold_start: float = 0.0
    slow_window: float = 0.0

    def __post_init__(self) -> None:
        for name, probability in self.items():
            if not 0.0 <= probability <= 1.0:
                raise ConfigurationError(f"fault {name}={probability} is not a probability; give a number from 0 to 1")

    @classmethod
    def of(cls, faults: Faults | Mapping[str, float] | str | None) -> Faults:
        """The faults that ``faults`` spells: a mapping, a text as in :meth:`parse`, or None for no faults.

        Raises:
            ConfigurationError: A name is unknown, or a value is not a probability.
        """
        if faults is None:
            return cls()
        if isinstance(faults, Faults):
            return faults
        if isinstance(faults, str):
            return cls.parse(faults)
        unknown = set(faults) - set(cls._names())
        if unknown:
            raise ConfigurationError(
                f"unknown fault {', '.join(sorted(unknown))!r}; the faults are {', '.join(cls._names())}"
            )
        return cls(**faults)

    @classmethod
    def parse(cls, text: str) -> Faults:
        """The faults that ``"throttle=0.05,crash=0.01"`` spells; an empty text is no faults.

        Raises:
            ConfigurationError: An entry is not ``name=number``, is given twice, is unknown, or not a probability.
        """
        spelled: dict[str, float] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, separator, value = (part.strip() for part in entry.partition("="))
            if name in spelled:
                raise ConfigurationError(f"fault {name!r} is given twice in {text!r}")
            try:
                spelled[name] = float(value)
            except ValueError:
                wrong = f"{value!r} is not a number" if separator else "'=' is missing"
                raise ConfigurationError(f"fault {entry!r}: {wrong}; write for example 'throttle=0.05'") from None
        return cls.of(spelled)

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    def __getitem__(self, name: str) -> float:
        if name not in self._names():
            raise KeyError(name)
        probability: float = getattr(self, name)
        return probability

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __str__(self) -> str:
        return ",".join(f"{name}={probability:g}" for name, probability in self.items() if probability)


class FaultDice:
    """Draws faults; the same seed draws the same ones in the same order.

    Each kind of fault has its own stream, so that turning one on does not move the others. Not safe for threads:
    the event source draws under its lock.
    """

    def __init__(self, faults: Faults, seed: int | str | None = None) -> None:
        self.faults = faults
        root = random.SystemRandom().getrandbits(64) if seed is None else seed
        self._streams = {name: random.Random(f"{root}:{name}") for name in (*faults, "when")}  # noqa: S311 - not secrets

    def hits(self, name: str) -> bool:
        """Whether the fault ``name`` happens this time."""
        return self._streams[name].random() < self.faults[name]

    def lost(self) -> Fault | None:
        """The fault that loses this invocation, or None; every kind is drawn each time."""
        drawn = [fault for fault in Fault if self.hits(fault.value)]
        return drawn[0] if drawn else None

    def coin(self) -> bool:
        """A coin toss, for the faults that can come early or late."""
        return self._streams["when"].random() < 0.5  # noqa: PLR2004 - a coin
