"""``examples/stack`` is deployed as it stands: a queue on Lambda, a FIFO queue, a queue on Fargate, and a producer.

The emulator runs functions and not containers, so what goes to Fargate ends in its queue.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cdk_cli import CdkCli
from tests.support.deploying import Deployed, build_code
from tests.support.ministack import MiniStack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def studio(
    aws: MiniStack, cdk: Callable[[str, dict[str, str]], CdkCli], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """The example, from deploy to destroy."""
    code = build_code(tmp_path_factory.mktemp("studio"), source=ROOT, packages=["examples"])
    command = cdk(f"{sys.executable} {Path(__file__).parent / 'deploy_example_app.py'}", {"code": str(code)})
    command.run("deploy", "--require-approval", "never")

    yield Deployed(cdk=command, aws=aws)

    command.run("destroy", "--force")


def test_order_goes_through_the_studio(studio: Deployed) -> None:
    """The producer's two jobs are worked in order and in bursts, and the film waits for a container."""
    answer = studio.client("lambda").invoke(
        FunctionName=studio.function_name("Api"),
        Payload=json.dumps({"film": "Metropolis", "room": "1", "customer": "UFA"}).encode(),
    )

    assert "FunctionError" not in answer, answer["Payload"].read()
    assert set(json.load(answer["Payload"])) == {"booking", "still"}
    names = ("stills", "stills_dead", "bookings.fifo", "bookings_dead.fifo", "films", "films_dead")
    studio.until(
        lambda: [studio.count(f"studio-{name}") for name in names] == [0, 0, 0, 0, 1, 0],
        what="the order done, but for the film",
    )
    assert studio.bodies("studio-films", 1) == {'{"film": "Metropolis"}'}


def test_deployed_parts_are_connected(studio: Deployed) -> None:
    """Both functions report partial failures, and the service's definition names its queue."""
    mappings = studio.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    ours = {
        item["EventSourceArn"].rpartition(":")[2]: item for item in mappings if ":studio-" in item["EventSourceArn"]
    }

    assert {name: (item["BatchSize"], item["FunctionResponseTypes"]) for name, item in ours.items()} == {
        "studio-stills": (10, ["ReportBatchItemFailures"]),
        "studio-bookings.fifo": (1, ["ReportBatchItemFailures"]),
    }
    assert studio.attributes("studio-stills")["VisibilityTimeout"] == str(6 * 205)
    assert studio.attributes("studio-bookings.fifo")["VisibilityTimeout"] == str(6 * 15)
    assert studio.attributes("studio-films")["VisibilityTimeout"] == "7205"
