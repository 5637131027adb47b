"""An SQS client that counts what is asked of it, and fails where a test says so."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

#: Called with the request before it is passed on: raises, or returns an answer in SQS's place, or None.
Step = Callable[[dict[str, Any]], dict[str, Any] | None]


#: What queues in memory have beside SQS's operations.
_NO_OPERATIONS = frozenset({"now", "is_in_memory"})


class ScriptedClient:
    """Passes every call on to a client, but for those a test has scripted.

    Attributes:
        counts: Calls by method.
        calls: Every call, in order, as (method, request).
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._steps: dict[str, list[Step]] = {}
        self.counts: Counter[str] = Counter()
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def script(self, method: str, *steps: Step) -> None:
        """Have the next calls of a method go through these, one each."""
        with self._lock:
            self._steps.setdefault(method, []).extend(steps)

    def forget(self, method: str) -> None:
        """Pass on the calls of a method again, whatever was scripted."""
        with self._lock:
            self._steps.pop(method, None)

    def requests(self, method: str) -> list[dict[str, Any]]:
        """The requests of a method so far."""
        return [request for name, request in self.calls if name == method]

    def __getattr__(self, method: str) -> Any:
        if method in _NO_OPERATIONS:
            return getattr(self._client, method)

        def call(**request: Any) -> Any:
            with self._lock:
                self.counts[method] += 1
                self.calls.append((method, request))
                steps = self._steps.get(method)
                step = steps.pop(0) if steps else None
            answer = None if step is None else step(request)
            return getattr(self._client, method)(**request) if answer is None else answer

        return call


def raising(error: BaseException) -> Step:
    """A step that raises."""

    def step(request: dict[str, Any]) -> None:
        raise error

    return step


def failing(code: str, status: int = 400) -> Step:
    """A step that raises the error SQS answers with."""
    return raising(
        ClientError({"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Any")
    )


def failing_entries(code: str, *ids: str, sender_fault: bool = False) -> Step:
    """A step that answers that these entries of a batch call failed; the others are said to have succeeded."""

    def step(request: dict[str, Any]) -> dict[str, Any]:
        failed = [{"Id": one, "Code": code, "SenderFault": sender_fault} for one in ids]
        return {"Successful": [{"Id": e["Id"]} for e in request["Entries"] if e["Id"] not in ids], "Failed": failed}

    return step
