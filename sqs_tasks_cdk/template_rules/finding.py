"""A finding: what one rule says of one resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of one resource.

    Attributes:
        id: What it is acknowledged by: the rule and what it found, as ``"R2-visibility"``.
        severity: ``"error"`` for what AWS refuses or what loses, repeats or never runs messages; ``"warning"`` for what
            does so under load, or may be meant.
        resource: The logical id.
        text: What holds, with the value, what is allowed and what to do.
    """

    id: str
    severity: Severity
    resource: str
    text: str

    @property
    def rule(self) -> str:
        """The number of the rule, as ``"R2"``."""
        return self.id.partition("-")[0]
