"""The world outside the shop, pretended. It fails on purpose, by what it is asked for, so that each run is the same.

A name with ``flaky-2`` in it works at the third attempt; one with ``broken`` never does.
"""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal

from .journal import current_attempt

_FLAKY = re.compile(r"flaky-(\d+)")


class ServiceDownError(Exception):
    """Nobody answers; trying again later may help."""


class CardDeclinedError(Exception):
    """The bank says no, and will say so again."""


class MailServer:
    """Takes mail."""

    def send(self, email: str, text: str) -> None:
        """Send a text to an address."""
        if not text:
            raise ValueError("an empty mail")
        _maybe_fail(email)


class Warehouse:
    """Packs orders, and takes a moment to say so."""

    async def pack(self, shelf: str, order_id: int) -> None:
        """Pack an order from a shelf."""
        await asyncio.sleep(0.002 + order_id % 3 / 1000)
        _maybe_fail(shelf)


class ImageLibrary:
    """Makes pictures smaller."""

    def resize(self, picture: str, width: int) -> tuple[str, int]:
        """Resize a picture to a width."""
        _maybe_fail(picture)
        return picture, width


class CardNetwork:
    """Moves money."""

    def charge(self, card: str, total: Decimal, *, reference: str) -> str:
        """Charge a card."""
        if "declined" in card:
            raise CardDeclinedError(f"{reference}: declined by the bank")
        _maybe_fail(card)
        return f"{reference}: {total}"


mail_server = MailServer()
warehouse = Warehouse()
image_library = ImageLibrary()
card_network = CardNetwork()


def _maybe_fail(name: str) -> None:
    flaky = _FLAKY.search(name)
    if "broken" in name or (flaky and current_attempt() <= int(flaky[1])):
        raise ServiceDownError(f"no answer for {name} at attempt {current_attempt()}")
