"""The embedded SQS offers what boto3's service model says SQS offers."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from sqs_tasks.local.memory import MemorySession
from sqs_tasks.local.model import faults, queue_attributes, shapes
from sqs_tasks.local.model.delivery import SYSTEM_ATTRIBUTES
from sqs_tasks.local.model.service import ACTIONS

PYTHON_TYPES = {"string": str, "integer": int, "long": int, "blob": bytes, "boolean": bool}


def sqs_model() -> ServiceModel:
    return botocore.session.get_session().get_service_model("sqs")


def shape_of(shape: Shape) -> Any:
    """A botocore shape as plain data."""
    if isinstance(shape, StructureShape):
        members = {name: shape_of(member) for name, member in shape.members.items()}
        return {"required": sorted(shape.required_members), "members": members}
    if isinstance(shape, ListShape):
        return [shape_of(shape.member)]
    if isinstance(shape, MapShape):
        return {"map": shape_of(shape.value)}
    return PYTHON_TYPES[shape.type_name]


def ours(shape: shapes.Shape, *, required: bool) -> Any:
    """One of our shapes as the same plain data."""
    if isinstance(shape, shapes.Structure):
        members = {name: ours(member, required=required) for name, member in shape.members.items()}
        return {"required": sorted(shape.required), "members": members}
    if isinstance(shape, shapes.ListOf):
        return [ours(shape.item, required=required)]
    if isinstance(shape, shapes.MapOf):
        return {"map": ours(shape.value, required=required)}
    return shape.python


def without_required(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: without_required(value) for key, value in data.items() if key != "required"}
    if isinstance(data, list):
        return [without_required(item) for item in data]
    return data


def test_no_action_is_missing() -> None:
    """Every operation that boto3 offers answers."""
    assert set(ACTIONS) == set(sqs_model().operation_names)
    assert set(shapes.INPUTS) == set(ACTIONS)


@pytest.mark.parametrize("action", ACTIONS)
def test_parameters_are_those_of_the_service_model(action: str) -> None:
    """Names, types and which are required."""
    expected = sqs_model().operation_model(action).input_shape

    assert ours(shapes.INPUTS[action], required=True) == shape_of(expected)


@pytest.mark.parametrize("action", ACTIONS)
def test_answers_are_those_of_the_service_model(action: str) -> None:
    """Names and types; an action without an answer has none here either."""
    expected = sqs_model().operation_model(action).output_shape

    if expected is None:
        assert action not in shapes.OUTPUTS
    else:
        found = ours(shapes.OUTPUTS[action], required=False)
        assert without_required(found) == without_required(shape_of(expected))


@pytest.mark.parametrize("action", ACTIONS)
def test_the_memory_client_has_boto3s_method(action: str) -> None:
    """By boto3's name for it."""
    method = botocore.xform_name(action)

    assert ACTIONS[action] == method
    assert callable(getattr(MemorySession().client("sqs"), method))


def test_queue_attributes_are_those_of_the_service_model() -> None:
    """Every attribute that can be asked for."""
    assert set(sqs_model().shape_for("QueueAttributeName").enum) == queue_attributes.KNOWN


def test_system_attributes_are_those_of_the_service_model() -> None:
    """Every system attribute that can be asked for."""
    assert set(sqs_model().shape_for("MessageSystemAttributeName").enum) == {"All", *SYSTEM_ATTRIBUTES}


def test_error_codes_are_those_of_the_service_model() -> None:
    """A fault that SDKs have a class for has that class's name."""
    known = {shape.name for shape in sqs_model().error_shapes}
    made = [
        faults.queue_does_not_exist(),
        faults.queue_name_exists("x"),
        faults.queue_deleted_recently(),
        faults.purge_in_progress("x"),
        faults.invalid_attribute_name("x"),
        faults.invalid_attribute_value("x"),
        faults.invalid_message_contents(),
        faults.receipt_handle_is_invalid("x"),
        faults.empty_batch("x"),
        faults.too_many_entries(11),
        faults.entry_ids_not_distinct("x"),
        faults.invalid_entry_id(),
        faults.batch_too_long(1, 2),
        faults.over_limit(120_000),
        faults.resource_not_found("x"),
        faults.unsupported_operation("x"),
    ]

    assert {fault.code for fault in made} <= known
