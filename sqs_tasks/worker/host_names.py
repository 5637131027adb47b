"""The names by which a probe may reach the health port.

A web page can have its own name point to this machine (DNS rebinding), and then read the answers: the names of queues
and tasks, and how many jobs there are. The browser sends the page's name as ``Host``, which the page cannot change.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

#: Ends of names that no public name server answers for: those of Kubernetes, of private zones and of this machine.
_PRIVATE_ENDS = (".internal", ".local", ".localhost")


class HostNames:
    """Which ``Host`` headers are answered: addresses, names that cannot be a web page's, and names that were given.

    Args:
        names: Names of a public domain by which probes reach the worker, without ports.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in names)

    def refusal(self, host: str | None) -> str | None:
        """Why a request with this header is refused; None when it is answered. A probe may have no such header."""
        if host is None:
            return None
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            name = ""
        if name and (name in self._names or _is_private(name)):
            return None
        return (
            f"the Host header is {host[:100]!a}, which may be a web page's own name; allowed are addresses, names "
            "without a dot, and those that end in .internal, .local or .localhost; if a probe uses this name, allow "
            "it: --health-host NAME\n"
        )


def _is_private(name: str) -> bool:
    """Whether it is no name of a public domain."""
    if "." not in name or name.endswith(_PRIVATE_ENDS):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
