"""Keeping the processes of an earlier session away from the queues of this one.

A server on the usual port looks like the one before it, down to the URLs of its queues. Processes that a session starts
are given an endpoint URL with the session's own path, so one that was left over is refused by the next server.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from sqs_tasks.local.http.connection import Handler
from sqs_tasks.local.http.request import Request
from sqs_tasks.local.http.response import Response

#: What the path of such an endpoint URL begins with; the session follows.
SESSION_PATH = "/_sqs_tasks/session/"

_PREFIX = SESSION_PATH.encode()


class SessionGate:
    """Lets requests through that name this session or none.

    Args:
        handler: Answers them.
        session: The session.
    """

    def __init__(self, handler: Handler, session: str) -> None:
        self._handler = handler
        self._session = session.encode()

    def __call__(self, request: Request, reply: Callable[[Response], None], /) -> Callable[[], None] | None:
        """Answer a request; see :class:`~sqs_tasks.local.http.connection.Handler`."""
        if request.target.startswith(_PREFIX):
            session, _, rest = request.target.removeprefix(_PREFIX).partition(b"/")
            if session != self._session:
                reply(_refusal())
                return None
            request.target = b"/" + rest
        return self._handler(request, reply)


def _refusal() -> Response:
    message = (
        "this process was started by an earlier session of sqs-tasks dev, and another one has taken its port; "
        "end this process, or start it again from the session that runs now"
    )
    return Response(json.dumps({"__type": "SessionOver", "message": message}).encode(), status=403)
