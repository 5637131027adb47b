"""ECS task scale-in protection: a service that shrinks takes an idle task and not one with jobs in progress."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

#: Where the ECS agent says it listens; set by ECS in every container.
AGENT_VARIABLE = "ECS_AGENT_URI"

#: Minutes for which protection is asked; renewed at half, so that a worker that dies is not protected for long.
EXPIRES_MINUTES = 60

#: Seconds a call may take: the agent is on the same host.
TIMEOUT_SECONDS = 5.0

#: Seconds before a call that failed is made again.
RETRY_SECONDS = 30.0

Put = Callable[[str, bytes], None]


class ScaleInProtection:
    """Asks the ECS agent to protect this task while it is busy. Calls are made by a thread of its own.

    A failed call is logged and made again later; it never stops a job. The task role needs
    ``ecs:UpdateTaskProtection``.

    Args:
        agent_uri: The value of ``ECS_AGENT_URI``.
        put: Makes the call; for tests.
        expires_minutes: How long protection lasts unless it is renewed.
        retry_seconds: How long to wait after a failed call.
    """

    def __init__(
        self,
        agent_uri: str,
        *,
        put: Put | None = None,
        expires_minutes: int = EXPIRES_MINUTES,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._url = f"{agent_uri.rstrip('/')}/task-protection/v1/state"
        self._put = put or _put
        self._minutes = expires_minutes
        self._retry = retry_seconds
        self._wanted = False
        self._state_at_agent: bool | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="sqs-tasks-protection", daemon=True)
        self._thread.start()

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> ScaleInProtection | None:
        """Protection where ECS offers it, else None."""
        uri = variables.get(AGENT_VARIABLE)
        return None if not uri else cls(uri)

    def set_busy(self, busy: bool) -> None:
        """Protect the task, or let it go; returns at once."""
        with self._changed:
            self._wanted = busy
            self._changed.notify_all()

    def close(self) -> None:
        """Let the task go and end the thread."""
        with self._changed:
            self._wanted, self._closed = False, True
            self._changed.notify_all()
        self._thread.join(TIMEOUT_SECONDS * 2)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._state_at_agent == self._wanted or (self._state_at_agent is None and not self._wanted):
                    if self._closed:
                        return
                    half = self._minutes * 30.0
                    renew = not self._changed.wait(half if self._state_at_agent else None)
                    if not renew:
                        continue
                wanted = self._wanted
            done = self._set(wanted)
            with self._changed:
                if done:
                    self._state_at_agent = wanted
                elif self._closed:
                    return
                elif self._wanted == wanted:
                    self._changed.wait(self._retry)

    def _set(self, wanted: bool) -> bool:
        state: dict[str, object] = {"ProtectionEnabled": wanted}
        if wanted:
            state["ExpiresInMinutes"] = self._minutes
        try:
            self._put(self._url, json.dumps(state).encode())
        except Exception as error:  # noqa: BLE001 - protection is a courtesy; jobs do not depend on it
            logger.warning(
                "cannot set scale-in protection to %s (%s); jobs go on",
                wanted,
                error,
                extra={"action": "scale_in_protection_failed", "protected": wanted},
            )
            return False
        logger.info(
            "scale-in protection %s",
            "on" if wanted else "off",
            extra={"action": "scale_in_protection", "protected": wanted},
        )
        return True


def _put(url: str, body: bytes) -> None:
    request = urllib.request.Request(  # noqa: S310 - the agent's own URL, from ECS
        url, data=body, method="PUT", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
        answered = json.loads(answer.read() or b"{}")
    # The agent answers 200 with a failure in it.
    if answered.get("failure") or answered.get("error"):
        raise OSError(str(answered.get("failure") or answered.get("error")))
