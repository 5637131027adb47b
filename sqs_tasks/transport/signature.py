"""AWS Signature Version 4 of a request without a query, with the key of a day kept.

botocore signs any request of any service and derives the key anew for each; those of SQS are all alike (the IAM user
guide, "Create a signed AWS API request").
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import NamedTuple

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """Who signs. The token is that of temporary credentials."""

    access_key: str
    secret_key: str
    token: str | None = None


class Signer:
    """Signs requests to one service in one region.

    Args:
        service: As the signature names it: ``sqs``.
        region: The region that answers.
    """

    def __init__(self, service: str, region: str) -> None:
        self._service = service
        self._region = region
        # The secret key, the day, and the key derived from both. One tuple: threads see all of it or none.
        self._key: tuple[str, str, bytes] = ("", "", b"")

    def authorization(
        self,
        credentials: Credentials,
        timestamp: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        method: str = "POST",
        path: str = "/",
    ) -> str:
        """The value of the header ``Authorization``.

        Args:
            credentials: Who signs.
            timestamp: The time as ``20261201T083000Z``, which is also the header ``x-amz-date``.
            headers: All headers that are signed, sorted by their names, which are in lower case; values have no spaces
                to trim.
            body: The body.
            method: The method.
            path: The path, already escaped.
        """
        pairs = list(headers)
        names = ";".join(name for name, _ in pairs)
        lines = "".join(f"{name}:{value}\n" for name, value in pairs)
        canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{timestamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"{_ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(self._key_of(credentials.secret_key, timestamp[:8]), text.encode(), "sha256").hex()
        return f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"

    def _key_of(self, secret: str, day: str) -> bytes:
        known_secret, known_day, key = self._key
        if known_secret != secret or known_day != day:
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (secret, day, key)
        return key


class Timestamps:
    """The present as signatures have it, written once a second; moved by how far this machine's clock is wrong."""

    def __init__(self) -> None:
        self._last = (0, "")
        self.skew_seconds = 0.0

    def now(self) -> str:
        """The time as ``20261201T083000Z``."""
        second = int(time.time() + self.skew_seconds)
        known, text = self._last
        if known != second:
            text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._last = (second, text)
        return text
