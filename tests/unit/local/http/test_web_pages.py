"""Which requests come from a web page: by their Host, Origin and Sec-Fetch-Site."""

from __future__ import annotations

import logging

import pytest

from sqs_tasks.local.http.web_pages import WebPageGuard, is_loopback


def refusal(*allowed: str, **headers: str) -> str | None:
    """What the guard says of headers such as ``sec_fetch_site``."""
    guard = WebPageGuard(allowed)
    given = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    first, again = guard.refusal(given), guard.refusal(given)
    assert first == again, "what is remembered must not change the answer"
    return first


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:9324",
        "LOCALHOST:9324",
        "sqs.localhost:9324",
        "127.0.0.1:9324",
        "127.8.9.1",
        "[::1]:9324",
        "192.168.1.2:9324",
        "[fe80::1]",
        "0.0.0.0:9324",
    ],
)
def test_addresses_and_localhost_are_ours(host: str) -> None:
    """Nobody can make an address, or localhost, point to another machine."""
    assert refusal(host=host) is None


def test_a_client_that_names_no_host_is_no_browser() -> None:
    """HTTP/1.0 and hand-made requests go on working."""
    assert refusal() is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:9324",
        "localhost.evil.example",
        "127.0.0.1.evil.example:9324",
        "notlocalhost",
        "sqs:9324",
        "evil.example@127.0.0.1:9324@evil.example",
        "",
        "[::1",
        "\xff",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    """A page's own name that was made to point here: DNS rebinding. The text says how to allow one."""
    reason = refusal(host=host)

    assert reason is not None
    assert "--allow-host NAME" in reason


def test_names_that_were_given_are_allowed() -> None:
    """For containers; in whatever case, at whatever port, and no other name with them."""
    assert refusal("sqs", "Queue.Internal", host="SQS:9324") is None
    assert refusal("sqs", "Queue.Internal", host="queue.internal") is None
    assert refusal("sqs", host="sqs.evil.example") is not None


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://app.localhost", "http://127.0.0.1", "http://[::1]:80"]
)
def test_pages_of_this_machine_may_send_requests(origin: str) -> None:
    """They are the developer's own."""
    assert refusal(host="localhost:9324", origin=origin, sec_fetch_site="same-site") is None


def test_pages_of_an_allowed_name_may_send_requests() -> None:
    """A console in the same network of containers."""
    assert refusal("sqs", host="sqs:9324", origin="http://sqs:8080") is None


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://localhost.evil.example", "file://", "chrome-extension://abc", "\xff"],
)
def test_other_pages_are_refused(origin: str) -> None:
    """Sandboxed frames and files say null."""
    reason = refusal(host="127.0.0.1:9324", origin=origin)

    assert reason is not None
    assert "web page" in reason


@pytest.mark.parametrize(
    ("site", "refused"), [("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)]
)
def test_requests_without_an_origin_say_where_they_come_from(site: str, *, refused: bool) -> None:
    """An image of a page is cross-site; an address that was typed is none."""
    assert (refusal(host="127.0.0.1:9324", sec_fetch_site=site) is not None) is refused


def test_refusals_are_logged_on_one_line_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    """A page cannot forge lines, or fill a disk."""
    guard = WebPageGuard()
    with caplog.at_level(logging.WARNING, logger="sqs_tasks.local"):
        for number in range(100):
            guard.refusal({b"host": b"evil\x1b[2J.example" + b"x" * 10_000 + b"%d" % number})

    assert 1 <= len(caplog.records) <= 20
    assert all("\x1b" not in record.getMessage() and len(record.getMessage()) < 1_000 for record in caplog.records)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("app.localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("example.org", False),
    ],
)
def test_loopback_addresses(host: str, *, expected: bool) -> None:
    """Only these cannot be reached from elsewhere."""
    assert is_loopback(host) is expected
