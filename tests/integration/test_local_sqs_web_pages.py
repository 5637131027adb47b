"""No web page drives the local SQS: with the exact headers of browsers, and from a real one."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from sqs_tasks.local.application import HEALTH_PATH
from sqs_tasks.local.server import LocalSQSServer
from tests.support import browser

FORM = "application/x-www-form-urlencoded"
SEND = "Action=SendMessage&QueueUrl=victim&MessageBody=owned"

#: What Chrome 153 sends for an image, a form and a fetch of a page at https://evil.example.
CHROME = {
    "Connection": "keep-alive",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/153.0.0.0 Safari/537.36",
    "Accept-Encoding": "gzip, deflate, br, zstd",
}
IMAGE = {
    **CHROME,
    "Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "image",
    "Referer": "https://evil.example/",
}
SUBMIT = {
    **CHROME,
    "Origin": "https://evil.example",
    "Content-Type": FORM,
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Referer": "https://evil.example/",
}
#: A page whose own name was made to point here: to the browser it is the page's own server.
REBOUND = {
    **CHROME,
    "Host": "evil.example:9324",
    "Origin": "http://evil.example:9324",
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "AmazonSQS.ReceiveMessage",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
}
#: Safari before 16.4 and Firefox before 90 have no Sec-Fetch headers.
OLD_IMAGE = {
    "User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/15.0 Safari/605.1.15",
    "Accept": "image/*",
}


@pytest.fixture
def sqs(server: LocalSQSServer) -> Iterator[Any]:
    """An SDK, and the queue that the pages are after."""
    with client(server.endpoint_url) as opened:
        opened.create_queue(QueueName="victim")
        yield opened


@contextlib.contextmanager
def client(endpoint_url: str) -> Iterator[Any]:
    opened = boto3.client(
        "sqs",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield opened
    opened.close()


def ask(
    server: LocalSQSServer, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Send a request with exactly these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body or method == "POST":
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode())
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()
    finally:
        connection.close()


def is_untouched(sqs: Any) -> bool:
    """Whether the queue is there, and nobody has sent to it."""
    return sqs.list_queues().get("QueueUrls", []) != [] and "Messages" not in sqs.receive_message(QueueUrl="victim")


@pytest.mark.parametrize("headers", [IMAGE, OLD_IMAGE])
@pytest.mark.parametrize("query", [SEND, "Action=DeleteQueue&QueueUrl=victim"])
def test_an_image_does_nothing(server: LocalSQSServer, sqs: Any, headers: dict[str, str], query: str) -> None:
    """An address in a page used to send messages, and to delete queues."""
    status, _, _ = ask(server, "GET", f"/?{query}", **headers)

    assert status in (403, 405)
    assert is_untouched(sqs)


@pytest.mark.parametrize("content_type", [FORM, "text/plain", "multipart/form-data; boundary=x"])
def test_a_form_does_nothing(server: LocalSQSServer, sqs: Any, content_type: str) -> None:
    """A page can send forms of three types to any server."""
    headers = {**SUBMIT, "Content-Type": content_type}

    assert ask(server, "POST", "/", SEND, **headers)[0] == 403
    assert ask(server, "POST", "/", SEND, **{**headers, "Origin": "null"})[0] == 403
    assert ask(server, "POST", f"/?{SEND}", "", **headers)[0] == 403
    assert is_untouched(sqs)


def test_a_page_whose_name_points_here_reads_nothing(server: LocalSQSServer, sqs: Any) -> None:
    """DNS rebinding: for the browser the answer would be the page's own."""
    sqs.send_message(QueueUrl="victim", MessageBody="secret")

    status, _, body = ask(server, "POST", "/", '{"QueueUrl":"victim"}', **REBOUND)

    assert status == 403
    assert "secret" not in body
    assert "--allow-host" in json.loads(body)["message"]


def test_a_preflight_is_refused(server: LocalSQSServer) -> None:
    """No page may ask whether it may send what SDKs send."""
    preflight = {
        **CHROME,
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-amz-target",
        "Access-Control-Request-Private-Network": "true",
        "Sec-Fetch-Site": "cross-site",
    }

    status, headers, _ = ask(server, "OPTIONS", "/", **preflight)

    assert status == 403
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(
    "headers", [{}, {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}]
)
def test_actions_are_posts(server: LocalSQSServer, method: str, headers: dict[str, str]) -> None:
    """In both protocols; the answer says what is allowed."""
    status, found, _ = ask(server, method, "/?Action=ListQueues", **headers)

    assert status == 405
    assert found["Allow"] == "POST"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "", "application/x-amz-json-1.0, text/plain"]
)
def test_actions_have_the_content_type_of_their_protocol(server: LocalSQSServer, content_type: str) -> None:
    """Which no page can send without asking first, but for the form, which says where it comes from."""
    given = {"Content-Type": content_type} if content_type else {}

    json_status, _, json_body = ask(server, "POST", "/", "{}", **given, **{"X-Amz-Target": "AmazonSQS.ListQueues"})
    form_status, _, form_body = ask(server, "POST", "/", "Action=ListQueues", **given)

    assert (json_status, form_status) == (415, 415)
    assert "application/x-amz-json-1.0" in json.loads(json_body)["message"]
    assert FORM in form_body


def test_pages_of_this_machine_are_allowed(server: LocalSQSServer, sqs: Any) -> None:
    """The developer's own, at whatever port."""
    headers = {**SUBMIT, "Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}

    assert ask(server, "POST", "/", SEND, **headers)[0] == 200
    assert sqs.receive_message(QueueUrl="victim")["Messages"][0]["Body"] == "owned"


def test_scripts_that_wait_for_the_server_are_answered(server: LocalSQSServer) -> None:
    """The health path is no action."""
    assert ask(server, "GET", HEALTH_PATH)[0] == 200
    assert ask(server, "GET", HEALTH_PATH, **IMAGE)[0] == 403


def test_a_name_that_was_not_allowed_is_told_to_the_sdk(server: LocalSQSServer) -> None:
    """The error of boto3 says what to do."""
    with client(server.endpoint_url) as sqs:
        sqs.meta.events.register(
            "before-send.sqs", lambda request, **_: request.headers.__setitem__("Host", "sqs:9324")
        )

        with pytest.raises(ClientError, match="--allow-host NAME"):
            sqs.list_queues()


@pytest.mark.parametrize("by_variable", [True, False])
def test_names_can_be_allowed_on_the_command_line(*, by_variable: bool) -> None:
    """For containers, by option or by environment variable."""
    options = [] if by_variable else ["--allow-host", "sqs", "--allow-host", "queue.internal"]
    variables = {"SQS_TASKS_ALLOW_HOST": "sqs queue.internal"} if by_variable else {}
    code = "from sqs_tasks.cli.local_sqs import local_sqs; local_sqs()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", *options],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
            statuses = []
            for host in ("sqs:9324", "queue.internal", "evil.example"):
                connection.request("GET", HEALTH_PATH, headers={"Host": host})
                response = connection.getresponse()
                response.read()
                statuses.append(response.status)
            connection.close()
        finally:
            process.terminate()

    assert statuses == [200, 200, 403]


# -- a real browser

#: A page that tries everything that a page can: an image, two kinds of fetch, a beacon, a form, and a script.
PAGE = """<!doctype html><title>evil</title><iframe name="sink"></iframe>
<script>
const target = "TARGET", send = "Action=SendMessage&QueueUrl=victim&MessageBody=";
const form = document.createElement("form");
form.method = "POST"; form.action = target; form.target = "sink";
for (const [name, value] of new URLSearchParams(send + "form")) {
  const field = document.createElement("input"); field.name = name; field.value = value; form.append(field);
}
const settled = (event) => new Promise((done) => { event.onload = event.onerror = () => done(); });
async function attack() {
  const image = new Image(); const loaded = settled(image); image.src = target + "/?" + send + "image"; await loaded;
  const script = document.createElement("script"); const ran = settled(script);
  script.src = target + "/?" + send + "script"; document.head.append(script); await ran;
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  await fetch(target, { method: "POST", mode: "no-cors", headers, body: send + "fetch" }).catch(() => 0);
  await fetch(target, { method: "POST", mode: "no-cors", body: send + "plain", referrerPolicy: "no-referrer" }).catch(() => 0);
  const json = { "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage" };
  const body = JSON.stringify({ QueueUrl: "victim", MessageBody: "json" });
  const read = await fetch(target, { method: "POST", headers: json, body }).then((r) => r.text()).catch((e) => e.name);
  navigator.sendBeacon(target, new URLSearchParams(send + "beacon"));
  const sink = document.querySelector("iframe"); const shown = settled(sink);
  document.body.append(form); form.submit(); await shown;
  return read;
}
</script>"""


@contextlib.contextmanager
def page_of(target: str) -> Iterator[int]:
    """Serve the page on this machine, for a browser that takes it for another; gives the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = PAGE.replace("TARGET", target).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_address[1]
        served.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    """A browser to which evil.example is this machine."""
    reason = browser.why_not()
    if reason is not None:
        (pytest.fail if os.environ.get("CI") and "only" not in reason else pytest.skip)(reason)
    with browser.browser("--host-resolver-rules=MAP evil.example 127.0.0.1") as running:
        yield running


def received(sqs: Any, seconds: float = 1) -> list[str]:
    """The bodies of all messages that come in that time."""
    bodies, ends_at = [], time.monotonic() + seconds
    while time.monotonic() < ends_at:
        answer = sqs.receive_message(QueueUrl="victim", MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies += [message["Body"] for message in answer.get("Messages", [])]
    return sorted(bodies)


def test_a_real_browsers_page_sends_nothing(server: LocalSQSServer, sqs: Any, chromium: browser.Browser) -> None:
    """By no image, script, fetch, beacon or form; and it reads nothing."""
    with page_of(server.endpoint_url) as port:
        chromium.open(f"http://evil.example:{port}/")
        read = chromium.evaluate("attack()")

    assert read == "TypeError"
    assert received(sqs) == []


def test_the_same_page_of_this_machine_could(server: LocalSQSServer, sqs: Any, chromium: browser.Browser) -> None:
    """So the page is able to attack: what stops it elsewhere is where it comes from."""
    with page_of(server.endpoint_url) as port:
        chromium.open(f"http://127.0.0.1:{port}/")
        chromium.evaluate("attack()")

    assert received(sqs) == ["beacon", "fetch", "form"]


def test_a_real_browser_at_a_name_that_points_here_is_refused(
    server: LocalSQSServer, sqs: Any, chromium: browser.Browser
) -> None:
    """The page of a rebound name sees why, and no message."""
    sqs.send_message(QueueUrl="victim", MessageBody="secret")

    shown = chromium.open(f"http://evil.example:{server.port}/?Action=ReceiveMessage&QueueUrl=victim")
    fetched = chromium.evaluate(
        """fetch("/", {method: "POST", body: '{"QueueUrl":"victim"}', headers: {
            "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ReceiveMessage"
        }}).then((response) => response.text())"""
    )

    assert "secret" not in shown + fetched
    assert "evil.example" in json.loads(fetched)["message"]
