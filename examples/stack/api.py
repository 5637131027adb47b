"""A producer: it may add jobs to the queues that it was granted, and knows their URLs from its environment."""

from __future__ import annotations

from typing import Any

from examples.stack.tasks import book_room, make_still


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Take an order and return the ids of the messages that it became."""
    film = event["film"]
    return {
        "booking": str(book_room.delay(room=event["room"], film=film)),
        "still": str(make_still.delay(customer=event["customer"], film=film, second=1)),
    }
