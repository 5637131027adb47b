"""The scheduler's API beside boto3's service model: every operation, every error."""

from __future__ import annotations

import pytest

from sqs_tasks.local.clock import ManualClock
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.scheduler import faults, rest_protocol, service_model
from sqs_tasks.local.scheduler.faults import SchedulerFault
from sqs_tasks.local.scheduler.service import SchedulerService

OPERATIONS = tuple(service_model.service_model().operation_names)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_boto3_is_there(operation: str) -> None:
    """A newer boto3 with a new one fails here."""
    assert operation in SchedulerService(Service(ManualClock()))._operations


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_its_path(operation: str) -> None:
    """Method and path of the model lead to the operation, and to the parameter in the path."""
    http = service_model.service_model().operation_model(operation).http
    path = http["requestUri"].replace("{Name}", "a.b-c_1").replace("{ResourceArn}", "arn%3Aaws%3Ax%2Fy")

    found, params = rest_protocol.read(http["method"], path, "", b"")

    assert found == operation
    assert list(params.values()) == (
        ["arn:aws:x/y"] if "Arn" in http["requestUri"] else ["a.b-c_1"] * ("{" in http["requestUri"])
    )


def test_statuses_are_those_of_the_service_model() -> None:
    """Each error that is answered, with its HTTP status."""
    known = {
        shape.name: shape.metadata["error"]["httpStatusCode"] for shape in service_model.service_model().error_shapes
    }

    assert set(faults.STATUSES.items()) <= set(known.items())


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/schedules/x"), ("GET", "/tags"), ("POST", "/schedules"), ("PUT", "/schedules/")]
)
def test_other_paths_are_no_operations(method: str, path: str) -> None:
    """404, and nothing else happens."""
    with pytest.raises(SchedulerFault) as raised:
        rest_protocol.read(method, path, "", b"")

    assert raised.value.status == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_json_objects_are_refused(body: bytes) -> None:
    """As ValidationException."""
    with pytest.raises(SchedulerFault, match="ValidationException"):
        rest_protocol.read("POST", "/schedules/x", "", body)
