"""Functions in processes of their own, driven by AWS's runtime client through our Runtime API."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.event_source.mapping import EventSourceMapping
from sqs_tasks.local.function import process
from sqs_tasks.local.function.fault_injection import Fault
from sqs_tasks.local.function.function import FunctionConfiguration, InvokeRequest
from sqs_tasks.local.function.invocation import InvocationStatus
from sqs_tasks.local.function.process import SubprocessFunction
from sqs_tasks.local.function.runtime_api import RuntimeApi, RuntimeEvent
from sqs_tasks.local.memory import MemorySession

#: A handler that does what the body of its first record says.
HANDLER = """
import os, signal, sys, time

calls = 0

def handler(event, context):
    global calls
    calls += 1
    command = event["Records"][0]["body"]
    if command == "exit":
        sys.exit(3)
    if command == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if command == "hang":
        time.sleep(60)
    if command == "fill":
        kept = b"x" * 300_000_000
        time.sleep(60)
    if command == "peak":
        len(b"x" * 300_000_000)
    if command == "raise":
        raise ValueError("no good")
    if command == "set":
        return {1, 2}
    if command == "big":
        return "x" * 7_000_000
    if command == "fail":
        return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    if command == "context":
        return {
            "id": context.aws_request_id, "name": context.function_name, "arn": context.invoked_function_arn,
            "memory": context.memory_limit_in_mb, "left": context.get_remaining_time_in_millis(),
            "trace": os.environ["_X_AMZN_TRACE_ID"],
            "environ": {name: os.environ.get(name) for name in (
                "_HANDLER", "AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
                "LAMBDA_TASK_ROOT", "AWS_LAMBDA_INITIALIZATION_TYPE", "MINE")},
        }
    if command == "rendezvous":
        open(f"here-{os.getpid()}", "w").close()
        while len([name for name in os.listdir() if name.startswith("here-")]) < 2:
            time.sleep(0.005)
    return {"batchItemFailures": [], "pid": os.getpid(), "calls": calls}
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "broken.py").write_text("import there_is_no_such_module\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "slow.py").write_text(
        "import os, time\n"
        "if not os.path.exists('started'):\n"
        "    open('started', 'w').close()\n"
        "    time.sleep(60)\n"
        "def handler(event, context):\n"
        "    return None\n"
    )
    return tmp_path


@pytest.fixture
def output(tmp_path):
    with (tmp_path / "output").open("wb") as file:
        yield file


@pytest.fixture
def make(directory, output):
    """Makes functions and ends them."""
    made = []

    def make(handler="app.handler", *, timeout=30.0, **settings):
        function = SubprocessFunction(
            handler,
            FunctionConfiguration(name="mailer", timeout_seconds=timeout, memory_mb=256),
            directory=directory,
            output=output,
            **settings,
        )
        made.append(function)
        return function

    yield make
    for function in made:
        function.close()


def ask(function, command, **extra):
    payload = json.dumps({"Records": [{"messageId": "m-1", "body": command}]}).encode()
    return function.invoke(InvokeRequest(request_id=f"r-{command}", payload=payload, **extra))


def test_environment_stays_warm(make):
    """One cold start; the module's state lives on."""
    function = make()

    first, second = ask(function, "work"), ask(function, "work")

    assert first.status is second.status is InvocationStatus.SUCCEEDED
    assert first.init_duration_ms > 0
    assert second.init_duration_ms is None
    assert json.loads(second.payload) == {**json.loads(first.payload), "calls": 2}
    assert second.max_memory_used_mb is None or second.max_memory_used_mb > 5


def test_function_sees_what_lambda_shows_it(make, directory):
    """Environment variables, working directory and context are those of Lambda."""
    result = ask(make(timeout=10.0, variables={"MINE": "yes"}), "context", trace_header="Root=1-a-b;Lineage=x:1")

    told = json.loads(result.payload)
    assert 9_000 < told.pop("left") <= 10_000
    assert told == {
        "id": "r-context",
        "name": "mailer",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:mailer",
        "memory": "256",
        "trace": "Root=1-a-b;Lineage=x:1",
        "environ": {
            "_HANDLER": "app.handler",
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": "mailer",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "LAMBDA_TASK_ROOT": str(directory),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "MINE": "yes",
        },
    }


def test_exception_is_a_function_error_in_a_living_environment(make, output, directory):
    """The process survives an exception, as a warm environment does."""
    function = make()

    failed = ask(function, "raise")

    assert failed.status is InvocationStatus.ERROR
    assert (failed.error.type, failed.error.message) == ("ValueError", "no good")
    assert "app.py" in failed.error.stack_trace[0]
    assert ask(function, "work").init_duration_ms is None
    assert "no good" in (directory / "output").read_text()


@pytest.mark.parametrize(
    ("command", "error_type"), [("set", "Runtime.MarshalError"), ("big", "Function.ResponseSizeTooLarge")]
)
def test_response_that_lambda_does_not_take_is_a_function_error(make, command, error_type):
    """What JSON cannot carry, or is too large, fails the invocation."""
    function = make()

    assert ask(function, command).error.type == error_type
    assert ask(function, "work").status is InvocationStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit", "Runtime exited with error: exit status 3"),
        ("kill", "Runtime exited with error: signal: killed"),
    ],
)
def test_crash_is_followed_by_a_cold_start(make, command, message):
    """The next invocation gets a new process."""
    function = make()

    crashed = ask(function, command)

    assert crashed.status is InvocationStatus.CRASHED
    assert crashed.error.message == message
    assert ask(function, "work").init_duration_ms is not None


def test_timeout_kills_the_process(make):
    """The whole timeout is billed, and the next invocation starts cold."""
    function = make(timeout=0.2)
    pid = json.loads(ask(function, "work").payload)["pid"]

    late = ask(function, "hang")

    assert late.status is InvocationStatus.TIMED_OUT
    assert late.duration_ms == 200
    assert late.error.message == "Task timed out after 0.20 seconds"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert ask(function, "work").init_duration_ms is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells how much a process used")
@pytest.mark.parametrize("command", ["fill", "peak"])
def test_function_above_its_memory_is_killed(make, caplog, command):
    """At once while it runs, and also when the peak was over before anyone looked; the next one starts cold."""
    function = make()
    assert ask(function, "work").status is InvocationStatus.SUCCEEDED

    killed = ask(function, command)

    assert killed.status is InvocationStatus.OUT_OF_MEMORY
    assert killed.error.type == "Runtime.OutOfMemory"
    assert killed.max_memory_used_mb == 256
    assert killed.duration_ms < 30_000
    assert "256 MB" in caplog.text
    assert ask(function, "work").init_duration_ms is not None


@pytest.mark.parametrize("memory_mb", [127, 10_241])
def test_memory_that_lambda_does_not_offer_is_refused(memory_mb):
    """Megabytes outside Lambda's range are an error at once."""
    with pytest.raises(ConfigurationError, match="128 to 10240"):
        FunctionConfiguration(memory_mb=memory_mb)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.CRASH, InvocationStatus.CRASHED),
        (Fault.OUT_OF_MEMORY, InvocationStatus.OUT_OF_MEMORY),
        (Fault.TIMEOUT, InvocationStatus.TIMED_OUT),
    ],
)
def test_fault_on_demand_ends_the_process(make, fault, status, early):
    """A fault that is ordered looks like the real one."""
    function = make()
    ask(function, "work")

    assert ask(function, "work", fault=fault, fault_early=early).status is status
    assert ask(function, "work").init_duration_ms is not None


def test_cold_start_on_demand(make):
    """A cold start that is ordered makes a new process."""
    function = make()
    ask(function, "work")

    assert ask(function, "work", cold_start=True).init_duration_ms is not None


@pytest.mark.parametrize(
    ("handler", "status", "error_type"),
    [
        ("broken.handler", InvocationStatus.ERROR, "Runtime.ImportModuleError"),
        ("app.nothing", InvocationStatus.ERROR, "Runtime.HandlerNotFound"),
        ("exits.handler", InvocationStatus.CRASHED, "Runtime.ExitError"),
    ],
)
def test_handler_that_cannot_be_loaded_fails_the_invocation(make, handler, status, error_type):
    """The error of the import is the error of the invocation."""
    result = ask(make(handler), "work")

    assert result.status is status
    assert result.error.type == error_type


def test_slow_init_is_cut_off_and_done_again_inside_the_invocation(make, monkeypatch):
    """An initialisation above its limit is repeated, billed to the invocation."""
    monkeypatch.setattr(process, "INIT_TIMEOUT_SECONDS", 0.3)

    assert ask(make("slow.handler"), "work").status is InvocationStatus.SUCCEEDED


def test_handler_must_name_a_module_and_a_function():
    """A name without a dot is refused when the function is made."""
    with pytest.raises(ConfigurationError, match=r"must be 'module\.function'"):
        SubprocessFunction("app")


#: A runtime of one's own, in a few lines.
BOOTSTRAP = """#!{python}
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as answer:
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        event = json.load(answer)
    told = json.dumps({{"handler": os.environ["_HANDLER"], "records": len(event["Records"])}}).encode()
    urllib.request.urlopen(api + request_id + "/response", told).close()
"""


def test_another_runtime_can_be_started(make, directory):
    """Any that speaks the Runtime API; the handler's name is its own business."""
    bootstrap = directory / "bootstrap"
    bootstrap.write_text(BOOTSTRAP.format(python=sys.executable))
    bootstrap.chmod(0o755)

    result = ask(make("Main", command=["./bootstrap"]), "work")

    assert result.status is InvocationStatus.SUCCEEDED
    assert json.loads(result.payload) == {"handler": "Main", "records": 1}


def test_runtime_that_cannot_be_started_fails_the_invocation(make, directory):
    """A command that does not exist is an invocation's error, not a hang."""
    (directory / "bootstrap").write_text("not executable")
    threads = set(threading.enumerate())

    result = ask(make(command=["./bootstrap"]), "work")

    assert result.status is InvocationStatus.CRASHED
    assert (result.error.type, result.error.message) == (
        "Runtime.InvalidEntrypoint",
        "Error: fork/exec ./bootstrap: permission denied",
    )
    assert set(threading.enumerate()) <= threads


def test_missing_runtime_client_is_told(monkeypatch):
    """The error names the package to install."""
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ConfigurationError, match=r"pip install .sqs-tasks.invoke."):
        SubprocessFunction("app.handler")


# Behind an event source


@pytest.fixture
def queue(monkeypatch):
    monkeypatch.setattr("sqs_tasks.local.event_source.mapping.POLL_WAIT_SECONDS", 0)
    client = MemorySession().client("sqs")
    return client, client.create_queue(QueueName="q")["QueueUrl"]


def test_partial_response_crosses_the_process(make, queue):
    """Batch item failures of a handler in another process are honoured."""
    client, url = queue
    for body in ("work", "fail", "work"):
        client.send_message(QueueUrl=url, MessageBody=body)
    invocations = []
    source = EventSourceMapping(client, url, make(), batch_size=1, on_invocation=invocations.append)

    source.run(until=lambda: source.idle)

    assert source.statistics.deleted == 2
    assert source.statistics.failed == 1
    assert "Init Duration" in str(invocations[0].report)


def test_environments_run_at_the_same_time_s33(make, queue):
    """Two invocations that wait for each other both end."""
    client, url = queue
    for _ in range(2):
        client.send_message(QueueUrl=url, MessageBody="rendezvous")
    source = EventSourceMapping(client, url, make(environments=2), batch_size=1)

    source.run(until=lambda: source.idle)

    assert source.statistics.deleted == 2
    assert source.statistics.cold_starts == 2


def test_closing_ends_processes_and_threads(make, queue):
    """Nothing is left running after close."""
    client, url = queue
    before = set(threading.enumerate())
    function = make()
    pid = json.loads(ask(function, "work").payload)["pid"]

    EventSourceMapping(client, url, function).close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


# The Runtime API itself


@pytest.fixture
def api():
    api = RuntimeApi()
    yield api
    api.close()


def call(api, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(api.address, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test_runtime_api_hands_out_an_event_and_takes_the_answer(api):
    """One invocation over the Runtime API, request by request."""
    event = RuntimeEvent(request_id="r-1", payload=b'{"a": 1}', deadline_ms=123, function_arn="arn", trace_header="t")
    answers = []
    invoking = threading.Thread(target=lambda: answers.append(api.invoke(event, 10)))
    invoking.start()

    status, headers, body = call(api, "GET", "/2018-06-01/runtime/invocation/next")
    accepted, _, _ = call(api, "POST", "/2018-06-01/runtime/invocation/r-1/response", b"null")
    invoking.join()

    assert (status, body) == (200, b'{"a": 1}')
    assert headers["Lambda-Runtime-Aws-Request-Id"] == "r-1"
    assert headers["Lambda-Runtime-Deadline-Ms"] == "123"
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == "arn"
    assert headers["Lambda-Runtime-Trace-Id"] == "t"
    assert accepted == 202
    assert answers[0].payload == b"null"


def test_runtime_api_refuses_an_answer_nobody_waits_for(api):
    """An answer with an unknown request id is an error."""
    status, _, body = call(api, "POST", "/2018-06-01/runtime/invocation/r-9/response", b"null")

    assert status == 400
    assert json.loads(body)["errorType"] == "InvalidRequestID"


def test_runtime_api_takes_an_error_of_any_shape(api):
    """A custom runtime may send no JSON at all; the header tells the type."""
    event = RuntimeEvent(request_id="r-1", payload=b"{}", deadline_ms=1, function_arn="arn", trace_header="")
    answers = []
    invoking = threading.Thread(target=lambda: answers.append(api.invoke(event, 10)))
    invoking.start()
    call(api, "GET", "/2018-06-01/runtime/invocation/next")

    call(
        api,
        "POST",
        "/2018-06-01/runtime/invocation/r-1/error",
        b"oops",
        {"Lambda-Runtime-Function-Error-Type": "Mine"},
    )
    invoking.join()

    assert answers[0].error.type == "Mine"


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/2018-06-01/runtime/other")])
def test_runtime_api_knows_no_other_paths(api, method, path):
    """Any other path is 404."""
    assert call(api, method, path)[0] == 404


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Host": "evil.example"}]
)
def test_runtime_api_gives_no_event_to_a_web_page(api, headers):
    """An image whose address is the Runtime API would take the function's event away."""
    status, _, body = call(api, "GET", "/2018-06-01/runtime/invocation/next", b"", headers)

    assert status == 403
    assert json.loads(body)["errorType"] == "AccessDenied"


def test_runtime_api_listens_on_the_loopback_only(api):
    """Nobody else on the network can reach it."""
    assert api.address.startswith("127.0.0.1:")
