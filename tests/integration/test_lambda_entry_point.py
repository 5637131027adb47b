"""``lambda_handler/app.py`` in AWS's runtime client: how it starts, and how it fails to."""

from __future__ import annotations

import ast
import json
import os
import socket
from pathlib import Path

import pytest

from sqs_tasks.local.function.function import FunctionConfiguration, InvokeRequest
from sqs_tasks.local.function.invocation import InvocationStatus
from sqs_tasks.local.function.process import SubprocessFunction
from tests.support.lambda_events import event, record

pytest.importorskip("awslambdaric", reason="AWS's runtime client runs the function")

ROOT = Path(__file__).parents[2]

TASKS = """
import logging
from sqs_tasks import SQSEnv

env = SQSEnv()
work = env.queue("work")

@work.processor("work")
def do_work(x=0):
    logging.getLogger(__name__).warning("working")
"""

#: Keeps Powertools from being found, as where it is not installed.
WITHOUT_POWERTOOLS = """
import sys
sys.modules["aws_lambda_powertools"] = None
"""


@pytest.fixture
def make(tmp_path):
    """Makes functions of the entry point with an application beside them, and ends them."""
    made = []

    def make(app="tasks:env", code=TASKS, *, before="", **variables):
        (tmp_path / "tasks.py").write_text(code)
        (tmp_path / "entry.py").write_text(
            f"{before}\nimport runpy\nhandler = runpy.run_path({str(ROOT / 'lambda_handler' / 'app.py')!r})['handler']\n"
        )
        function = SubprocessFunction(
            "entry.handler",
            FunctionConfiguration(name="worker"),
            directory=tmp_path,
            variables={
                "SQS_TASKS_APP": app,
                "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
                "POWERTOOLS_SERVICE_NAME": "shop",
                "POWERTOOLS_LOG_LEVEL": "INFO",
                **variables,
            },
            output=(tmp_path / "output").open("wb"),
        )
        made.append(function)
        return function

    yield make
    for function in made:
        function.close()
        function._output.close()


def ask(function, *records):
    return function.invoke(InvokeRequest(request_id="r-1", payload=json.dumps(event(*records)).encode()))


def output(tmp_path):
    return (tmp_path / "output").read_text()


def test_registry_that_is_named_is_run(make, tmp_path):
    """``SQS_TASKS_APP`` names the registry; its jobs run, are logged and are counted."""
    result = ask(make(), record("a"), record("b", "unheard-of"))

    assert result.error is None
    assert [one["itemIdentifier"] for one in json.loads(result.payload)["batchItemFailures"]] == ["b"]
    lines = [json.loads(line) for line in output(tmp_path).splitlines() if line.startswith("{")]
    (working,) = [line for line in lines if line.get("message") == "working"]
    assert (working["job_name"], working["job_id"], working["function_request_id"]) == ("work", "job-of-a", "r-1")
    assert {line["task"]: line.get("JobsSucceeded") for line in lines if "_aws" in line} == {
        "work": [1.0],
        "(unknown)": None,
    }


@pytest.mark.parametrize(("sampled", "names"), [(1, ["## work", "## work"]), (0, [])])
def test_job_of_a_sampled_invocation_is_a_subsegment_of_its_trace(make, sampled, names):
    """AWS's runtime client names the trace; the X-Ray SDK sends to the daemon that Lambda runs beside the function."""
    pytest.importorskip("aws_xray_sdk", reason="Powertools' tracer is an extra")
    root, parent = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        function = make(AWS_XRAY_DAEMON_ADDRESS=f"127.0.0.1:{daemon.getsockname()[1]}")
        request = InvokeRequest(
            request_id="r-1",
            payload=json.dumps(event(record("a"), record("b"))).encode(),
            trace_header=f"Root={root};Parent={parent};Sampled={sampled}",
        )
        assert json.loads(function.invoke(request).payload) == {"batchItemFailures": []}

        daemon.settimeout(5 if names else 0)
        segments = []
        while len(segments) < max(len(names), 1):
            try:
                segments.append(json.loads(daemon.recv(65_536).partition(b"\n")[2]))
            except BlockingIOError:
                break

    assert [one["name"] for one in segments] == names
    assert {(one["trace_id"], one["parent_id"]) for one in segments} <= {(root, parent)}


def test_function_without_powertools_runs(make, tmp_path):
    """Powertools is optional: without it there are no metrics, and jobs run."""
    result = ask(make(before=WITHOUT_POWERTOOLS), record("a"))

    assert json.loads(result.payload) == {"batchItemFailures": []}
    assert "_aws" not in output(tmp_path)


@pytest.mark.parametrize(
    ("app", "code", "told"),
    [
        ("", TASKS, "no application named; set SQS_TASKS_APP=module:attribute"),
        ("tasks", TASKS, "must be module:attribute"),
        ("elsewhere:env", TASKS, "there is no module 'elsewhere'"),
        ("tasks:nothing", TASKS, "tasks has no 'nothing'"),
        ("tasks:do_work", TASKS, "is a AsyncTask, not an SQSEnv"),
        ("tasks:env", "import there_is_no_such_thing", "No module named 'there_is_no_such_thing'"),
        ("tasks:env", "1 / 0", "division by zero"),
    ],
)
def test_broken_application_fails_when_the_function_starts(make, tmp_path, app, code, told):
    """Once and with its own words: not a failure of every message."""
    function = make(app, code)

    result = ask(function, record("a"))

    assert result.status is InvocationStatus.ERROR
    assert told in result.error.message + output(tmp_path)


def test_event_of_another_source_is_a_clear_function_error(make):
    """The error says that it is no SQS event, and the environment serves the next event."""
    function = make()

    result = function.invoke(InvokeRequest(request_id="r-1", payload=b'{"source": "aws.events"}'))

    assert result.error.type == "ConfigurationError"
    assert "not an SQS event" in result.error.message
    assert json.loads(ask(function, record("a")).payload) == {"batchItemFailures": []}, "and it stays warm"


def test_error_texts_are_ascii():
    """An error of the start travels through AWS's runtime client, which ends over one in other characters (4.2)."""
    found = [
        f"{path.name}:{node.lineno}: {node.value!r}"
        for path in (ROOT / "sqs_tasks").rglob("*.py")
        for raised in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(raised, ast.Raise)
        for node in ast.walk(raised)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isascii()
    ]

    assert found == []
