"""One thing that is deployed otherwise than it is registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as registered.

    Attributes:
        resource: What it is about: ``queue shop-emails``, ``function shop-emails-worker``.
        field: Which of its settings, in AWS's words.
        registered: What the registry says, or what follows from it.
        deployed: What is there.
    """

    resource: str
    field: str
    registered: Any
    deployed: Any
