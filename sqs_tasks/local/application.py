"""What the local SQS answers to an HTTP request."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from sqs_tasks.local import json_protocol, query_protocol
from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.http.request import Request
from sqs_tasks.local.http.response import Response
from sqs_tasks.local.http.web_pages import WebPageGuard
from sqs_tasks.local.model import faults
from sqs_tasks.local.model.account import DEFAULT_REGION, Caller
from sqs_tasks.local.model.faults import SQSFault
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.scheduler import rest_protocol
from sqs_tasks.local.scheduler.faults import SchedulerFault
from sqs_tasks.local.scheduler.service import SchedulerService

logger = logging.getLogger(__name__)

#: Answers 200 as soon as the server answers at all.
HEALTH_PATH = "/_sqs_tasks/health"

#: Host headers whose callers are kept; usually there are two or three.
_MAX_CALLERS = 64

Reply = Callable[[Response], None]


class Application:
    """Turns requests into calls of the model and answers into responses. Lives on the event loop's thread.

    Args:
        service: The model.
        allowed_hosts: See :class:`~sqs_tasks.local.http.web_pages.WebPageGuard`.
    """

    def __init__(self, service: Service, allowed_hosts: Iterable[str] = ()) -> None:
        self._service = service
        self._scheduler: SchedulerService | None = None
        self._guard = WebPageGuard(allowed_hosts)
        self._callers: dict[bytes, Caller] = {}
        self._request_ids = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_moment: float | None = None

    def __call__(self, request: Request, reply: Reply) -> Callable[[], None] | None:
        """Answer a request, now or when its long poll ends; in that case the result abandons the poll."""
        target = request.headers.get(b"x-amz-target")
        try:
            if not self._guard.knows(request.headers):
                self._check_sender(request)
            return self._query(request, reply) if target is None else self._json(target, request, reply)
        except SQSFault as fault:
            reply(self._xml_answer("", fault) if target is None else self._json_fault(fault))
            return None
        except Exception:
            logger.exception("internal error", extra={"action": "local_sqs_internal_error"})
            reply(Response(b'{"__type":"InternalFailure","message":"see the log of the local SQS"}', status=500))
            return None
        finally:
            self.set_timer()

    def set_timer(self) -> None:
        """Set the timer of the event loop to the next moment at which the model has something to do."""
        moment = self._service.next_moment()
        if moment is None or (self._timer_moment is not None and self._timer_moment <= moment):
            return
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(self._service.clock, ManualClock):
            return
        self._timer_moment = moment
        delay = max(0.0, moment - self._service.clock.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = self._timer_moment = None
        self._service.run_due()
        self.set_timer()

    def _check_sender(self, request: Request) -> None:
        """Refuse a request that a web page has sent.

        Raises:
            SQSFault: 403.
        """
        refusal = self._guard.refusal(request.headers)
        if refusal is not None:
            raise SQSFault("AccessDeniedException", refusal, status=403)

    def _scheduled(self, request: Request, reply: Reply) -> None:
        """Answer a request of EventBridge Scheduler's API."""
        path, _, query = request.target.decode("latin-1").partition("?")
        try:
            if request.body and request.headers.get(b"content-type") != rest_protocol.REQUEST_CONTENT_TYPE:
                _check_content_type(request, rest_protocol.REQUEST_CONTENT_TYPE)
            method = request.method.decode("latin-1")
            operation, params = rest_protocol.read(method, path, query, request.body)
            if self._scheduler is None:
                self._scheduler = SchedulerService(self._service)
            answer = self._scheduler.call(operation, params, _region(request.headers.get(b"authorization", b"")))
        except SchedulerFault as fault:
            body, header = rest_protocol.write_fault(fault)
            headers = f"x-amzn-RequestId: {self._request_id()}\r\n{header}"
            reply(Response(body, rest_protocol.CONTENT_TYPE, fault.status, headers))
            return
        headers = f"x-amzn-RequestId: {self._request_id()}\r\n"
        reply(Response(rest_protocol.write(answer), rest_protocol.CONTENT_TYPE, 200, headers))

    def _json(self, target: bytes, request: Request, reply: Reply) -> Callable[[], None] | None:
        action = target.decode("ascii", errors="replace").removeprefix(json_protocol.TARGET_PREFIX)
        if request.method != b"POST" or request.headers.get(b"content-type") != json_protocol.REQUEST_CONTENT_TYPE:
            _check_form(request, json_protocol.REQUEST_CONTENT_TYPE)
        try:
            params = json_protocol.read(action, request.body)
            caller = self._caller(request, action)
            try:
                answer = self._service.call(action, params, caller)
            except (AttributeError, KeyError, TypeError):
                # A send with a member of the wrong type. If it is well-formed, this is a bug, and raised again.
                answer = self._service.call(action, json_protocol.repair(action, params), caller)
        except SQSFault as fault:
            reply(self._json_fault(fault))
            return None
        if isinstance(answer, Poll):
            return _when_answered(answer, lambda polled: reply(self._json_answer(action, polled)))
        reply(self._json_answer(action, answer))
        return None

    def _json_answer(self, action: str, answer: dict[str, Any] | SQSFault) -> Response:
        if isinstance(answer, SQSFault):
            return self._json_fault(answer)
        body = json_protocol.write(action, answer)
        return Response(body, headers=f"x-amzn-RequestId: {self._request_id()}\r\n")

    def _json_fault(self, fault: SQSFault) -> Response:
        body, header = json_protocol.write_fault(fault)
        headers = f"x-amzn-RequestId: {self._request_id()}\r\n{header}{_allowed(fault)}"
        return Response(body, json_protocol.CONTENT_TYPE, fault.status, headers)

    def _query(self, request: Request, reply: Reply) -> Callable[[], None] | None:
        path, _, query = request.target.partition(b"?")
        if path == HEALTH_PATH.encode():
            reply(Response(b'{"status":"ok"}', "application/json"))
            return None
        if rest_protocol.is_for_scheduler(path):
            self._scheduled(request, reply)
            return None
        given = query_protocol.fields(query)
        if request.method == b"POST":
            given |= query_protocol.fields(request.body)
        action = given.get("Action")
        if action is None:
            reply(Response(b"<UnknownOperationException/>", query_protocol.CONTENT_TYPE, 404))
            return None
        _check_form(request, query_protocol.REQUEST_CONTENT_TYPE)
        try:
            if path.count(b"/") >= 2:  # noqa: PLR2004  /account/queue
                if action in ("CreateQueue", "ListQueues"):
                    raise faults.invalid_action(action)
                given.setdefault("QueueUrl", path.decode("utf-8", errors="replace"))
            params = query_protocol.read(action, given)
            answer = self._service.call(action, params, self._caller(request, action))
        except SQSFault as fault:
            reply(self._xml_answer(action, fault))
            return None
        if isinstance(answer, Poll):
            return _when_answered(answer, lambda polled: reply(self._xml_answer(action, polled)))
        reply(self._xml_answer(action, answer))
        return None

    def _xml_answer(self, action: str, answer: dict[str, Any] | SQSFault) -> Response:
        request_id = self._request_id()
        headers = f"x-amzn-RequestId: {request_id}\r\n"
        if isinstance(answer, SQSFault):
            body = query_protocol.write_fault(answer, request_id)
            return Response(body, query_protocol.CONTENT_TYPE, answer.status, headers + _allowed(answer))
        return Response(query_protocol.write(action, answer, request_id), query_protocol.CONTENT_TYPE, 200, headers)

    def _caller(self, request: Request, action: str) -> Caller:
        host = request.headers.get(b"host", b"localhost")
        if action == "CreateQueue":
            return Caller(_base_url(host), _region(request.headers.get(b"authorization", b"")))
        trace_header = request.headers.get(b"x-amzn-trace-id")
        if trace_header is not None:
            # botocore sends it, escaped, from inside functions: by it Lambda finds those that feed themselves (S36).
            return Caller(_base_url(host), trace_header=unquote(trace_header.decode("ascii", errors="replace")))
        caller = self._callers.get(host)
        if caller is None:
            if len(self._callers) >= _MAX_CALLERS:
                self._callers.clear()
            caller = self._callers[host] = Caller(_base_url(host))
        return caller

    def _request_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._request_ids):012x}"


def _check_form(request: Request, content_type: bytes) -> None:
    """Refuse an action that is no POST with the content type of SDKs.

    AWS takes GET too. Here a page could send that by an ``<img>``, and the browser would not say who asks.

    Raises:
        SQSFault: 405 or 415.
    """
    if request.method != b"POST":
        method = ascii(request.method[:20].decode("latin-1"))
        text = f"the method is {method}; actions must be POST here; send the parameters in the body"
        raise SQSFault("InvalidAction", text, status=405)
    _check_content_type(request, content_type)


def _check_content_type(request: Request, content_type: bytes) -> None:
    """Refuse another content type than SDKs send: a page can send some without asking first.

    Raises:
        SQSFault: 415.
    """
    given = request.headers.get(b"content-type", b"")
    if given.partition(b";")[0].strip().lower() != content_type:
        shown = ascii(given[:100].decode("latin-1"))
        text = f"the Content-Type is {shown}; it must be {content_type.decode()} for this protocol; send it with that"
        raise SQSFault("SerializationException", text, status=415)


def _allowed(fault: SQSFault) -> str:
    """The header that an answer 405 has to have."""
    return "Allow: POST\r\n" if fault.status == HTTPStatus.METHOD_NOT_ALLOWED else ""


def _when_answered(poll: Poll, reply: Callable[[dict[str, Any] | SQSFault], None]) -> Callable[[], None]:
    poll.on_answer = lambda answered: reply(answered.answer)
    return poll.abandon


def _base_url(host: bytes) -> str:
    return "http://" + host.decode("ascii", errors="replace")


def _region(authorization: bytes) -> str:
    """The region in a signature's credential scope, ``Credential=key/date/region/sqs/aws4_request``."""
    scope = authorization.partition(b"Credential=")[2].partition(b",")[0].split(b"/")
    if len(scope) != 5 or not scope[2]:  # noqa: PLR2004  key, date, region, service, aws4_request
        return DEFAULT_REGION
    return scope[2].decode("ascii", errors="replace")
