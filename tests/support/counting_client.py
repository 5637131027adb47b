"""A client in memory that counts the messages of each batch request, and refuses some."""

from __future__ import annotations

from typing import Any


class CountingClient:
    """Passes everything on.

    Attributes:
        batches: How many messages each SendMessageBatch had.
        refuses: Messages with this text in their body are refused for good; none while it is empty.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.batches: list[int] = []
        self.refuses = ""

    @property
    def as_client(self) -> Any:
        """Itself, for those who want a client's type."""
        return self

    def send_message_batch(self, **request: Any) -> Any:
        """SendMessageBatch."""
        entries = request["Entries"]
        self.batches.append(len(entries))
        refused = [one for one in entries if self.refuses and self.refuses in one["MessageBody"]]
        kept = [one for one in entries if one not in refused]
        answer = self._client.send_message_batch(**{**request, "Entries": kept}) if kept else {"Successful": []}
        failed = [{"Id": one["Id"], "Code": "InvalidMessageContents", "SenderFault": True} for one in refused]
        return {**answer, "Failed": failed}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
