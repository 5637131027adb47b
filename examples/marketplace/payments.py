"""A payment provider: it charges once for each key, as all of them do, and declines amounts that end in 13 cents."""

from __future__ import annotations

_charges: dict[str, str] = {}


class DeclinedError(Exception):
    """The card is declined; it will be declined the next time too."""


def charge(cents: int, *, key: str) -> str:
    """The id of the charge."""
    if cents % 100 == 13:  # noqa: PLR2004 - as said above
        raise DeclinedError("card declined")
    return _charges.setdefault(key, f"ch_{len(_charges) + 1}")
