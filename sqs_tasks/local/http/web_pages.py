"""Keeps web pages from using the servers of this machine.

A page in a developer's browser can send requests to the loopback interface. It cannot read the answers, but a
``<img>`` or a form is enough to send a message that the worker then runs. By DNS rebinding it can read answers too: its
own name is made to point to this machine, so that the browser takes our server for the page's.

These headers distinguish such requests from those of an SDK, and a page cannot change them:

- ``Host`` is the page's own name, when that was made to point here. So we answer to addresses, to ``localhost`` and to
  names that we were given.
- ``Origin`` is on every POST that a page sends to another site; ``Sec-Fetch-Site`` on every request of today's browsers
  to the loopback interface.
- Without an ``Origin`` a page can only send GET and HEAD, so nothing that changes something may be one.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from sqs_tasks.client import is_loopback

logger = logging.getLogger(__name__)

#: Refusals that are logged; a page that goes on asking fills no log.
_MAX_LOGGED = 20

#: Host headers that are remembered as ours; usually there are two or three.
_MAX_REMEMBERED = 64

#: What ``Sec-Fetch-Site`` says of a page that is not ours.
_FOREIGN_SITES = (b"cross-site", b"same-site")


class WebPageGuard:
    """Refuses requests that a web page has sent.

    Args:
        allowed_hosts: Names by which clients reach the server, beside addresses and ``localhost``: those of a container
            or of a proxy, without ports.
    """

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in allowed_hosts)
        self._ours: set[bytes | None] = {None}
        self._logged = 0

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether nothing in the headers has to be looked at: what nearly every request is asked, quickly."""
        return headers.get(b"host") in self._ours and b"origin" not in headers and b"sec-fetch-site" not in headers

    def refusal(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Why a request with these headers, their names in lower case, is refused; None when it is not."""
        host = headers.get(b"host")
        reason = None
        if host not in self._ours:
            reason = self._check_host(host or b"")
        if reason is None and (b"origin" in headers or b"sec-fetch-site" in headers):
            reason = self._check_page(headers)
        if reason is not None and self._logged < _MAX_LOGGED:
            self._logged += 1
            logger.warning("refused a request: %s", reason, extra={"action": "local_web_page_refused"})
        return reason

    def _check_host(self, host: bytes) -> str | None:
        name = _name_of(b"//" + host)
        if name is None or not self._is_ours(name):
            return (
                f"the Host header is {_shown(host)}, which may be a web page's own name made to point to this machine; "
                f"allowed are localhost, addresses{''.join(f', {known}' for known in sorted(self._names))}; "
                "if clients reach the server by that name, allow it: --allow-host NAME, or allowed_hosts=[NAME] in "
                "Python"
            )
        if len(self._ours) < _MAX_REMEMBERED:
            self._ours.add(host)
        return None

    def _check_page(self, headers: Mapping[bytes, bytes]) -> str | None:
        origin = headers.get(b"origin")
        if origin is None:
            site = headers[b"sec-fetch-site"].lower()
            return _from_page(f"Sec-Fetch-Site: {_shown(site)}") if site in _FOREIGN_SITES else None
        name = _name_of(origin)
        # Pages of this machine are the developer's own.
        if name is not None and (is_loopback(name) or name in self._names):
            return None
        return _from_page(f"Origin: {_shown(origin)}")

    def _is_ours(self, name: str) -> bool:
        return name in self._names or is_loopback(name) or _is_address(name)


def _is_address(name: str) -> bool:
    """Whether it is an address: no name that somebody could make to point here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(url: bytes) -> str | None:
    """The host in a URL, in lower case, without its port."""
    try:
        return urlsplit(url.decode("ascii")).hostname
    except ValueError:
        return None


def _from_page(header: str) -> str:
    return (
        f"it comes from a web page ({header}); only pages of this machine may send any; use an SDK, or send it from "
        "a program that is no browser"
    )


def _shown(value: bytes) -> str:
    """A header's value for a text: short, and without what could forge lines of a log."""
    return ascii(value[:100].decode("latin-1"))
