"""A template seen as queues, functions, and the mappings between them.

AWS SAM's functions are understood as well: an event of type SQS is a mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqs_tasks_cdk import limits
from sqs_tasks_cdk.template_rules import values

#: What SQS and Lambda take when a template does not say.
DEFAULT_VISIBILITY_SECONDS: Final = 30
DEFAULT_FUNCTION_SECONDS: Final = 3
DEFAULT_BATCH_SIZE: Final = 10

_FUNCTIONS: Final = ("AWS::Lambda::Function", "AWS::Serverless::Function")

#: Only sources other than SQS have one of these.
_OF_OTHER_SOURCES: Final = (
    "StartingPosition",
    "Topics",
    "Queues",
    "SelfManagedEventSource",
    "DocumentDBEventSourceConfig",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue.

    Attributes:
        id: Its logical id.
        properties: As in the template.
    """

    id: str
    properties: Mapping[str, Any]

    @property
    def name(self) -> str | None:
        """Its name in SQS; None when it is generated or unknown."""
        return values.text(self.properties, "QueueName")

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue, as far as that is known."""
        return values.flag(self.properties, "FifoQueue") is True

    @property
    def visibility_seconds(self) -> int | None:
        """How long it hides a message; None when that is unknown."""
        return values.number(self.properties, "VisibilityTimeout", default=DEFAULT_VISIBILITY_SECONDS)

    @property
    def retention_seconds(self) -> int | None:
        """How long it keeps a message; None when that is unknown."""
        return values.number(self.properties, "MessageRetentionPeriod", default=limits.DEFAULT_RETENTION_SECONDS)

    @property
    def redrive(self) -> Mapping[str, Any] | None:
        """Its redrive policy; None when it is unknown or left out."""
        return values.mapping(self.properties, "RedrivePolicy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A Lambda function.

    Attributes:
        id: Its logical id.
        properties: As in the template, with those that AWS SAM's ``Globals`` gives all functions.
    """

    id: str
    properties: Mapping[str, Any]

    @property
    def timeout_seconds(self) -> int | None:
        """How long one invocation may take; None when that is unknown."""
        return values.number(self.properties, "Timeout", default=DEFAULT_FUNCTION_SECONDS)

    @property
    def is_ours(self) -> bool:
        """Whether it works jobs of sqs_tasks, so that it answers which messages failed."""
        environment = values.mapping(self.properties, "Environment") or {}
        return "SQS_TASKS_APP" in (values.mapping(environment, "Variables") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSource:
    """What feeds a function from a queue.

    Attributes:
        id: The logical id of the mapping, or of the function that AWS SAM makes one for.
        properties: As in the template.
        queue: The queue; None when it is not in this template.
        function: The function; None when it is not in this template.
        is_fifo: Whether the queue is a FIFO queue, as far as that is known.
    """

    id: str
    properties: Mapping[str, Any]
    queue: Queue | None
    function: Function | None
    is_fifo: bool

    @property
    def queue_label(self) -> str:
        """The queue, for texts."""
        return self.queue.id if self.queue is not None else "of " + self.id

    @property
    def max_concurrency(self) -> int | None:
        """Its maximum concurrency; None when it is unknown or left out."""
        return values.number(values.mapping(self.properties, "ScalingConfig") or {}, "MaximumConcurrency")

    @property
    def window_seconds(self) -> int | None:
        """Its batching window; None when that is unknown."""
        return values.number(self.properties, "MaximumBatchingWindowInSeconds", default=0)


@dataclass(slots=True)
class Template:
    """A template as plain data.

    Args:
        document: The template, as JSON or YAML says it; short forms of functions (``!Ref``) in their long form.
    """

    document: Mapping[str, Any]
    queues: dict[str, Queue] = field(init=False, default_factory=dict)
    functions: dict[str, Function] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        common = values.mapping(values.mapping(self.document, "Globals") or {}, "Function") or {}
        for logical_id, kind, properties in self.resources():
            if kind == "AWS::SQS::Queue":
                self.queues[logical_id] = Queue(id=logical_id, properties=properties)
            elif kind in _FUNCTIONS:
                of_all = common if kind.startswith("AWS::Serverless") else {}
                self.functions[logical_id] = Function(id=logical_id, properties={**of_all, **properties})

    def resources(self, *kinds: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """The logical ids, types and properties of resources; of all types when none is named."""
        for logical_id, resource in (values.mapping(self.document, "Resources") or {}).items():
            if isinstance(resource, Mapping) and (not kinds or resource.get("Type") in kinds):
                yield logical_id, str(resource.get("Type")), values.mapping(resource, "Properties") or {}

    def event_sources(self) -> Iterator[EventSource]:
        """Every mapping from a queue to a function."""
        for logical_id, _, properties in self.resources("AWS::Lambda::EventSourceMapping"):
            if not any(values.is_given(properties, name) for name in _OF_OTHER_SOURCES):
                yield from self._event_source(
                    logical_id,
                    properties,
                    properties.get("EventSourceArn"),
                    self.function(properties.get("FunctionName")),
                )
        for function in self.functions.values():
            for event in (values.mapping(function.properties, "Events") or {}).values():
                if isinstance(event, Mapping) and event.get("Type") == "SQS":
                    properties = values.mapping(event, "Properties") or {}
                    yield from self._event_source(function.id, properties, properties.get("Queue"), function)

    def queue(self, value: Any) -> Queue | None:
        """The queue that a reference, an ARN or a URL names; None when it is not in this template."""
        logical_id = values.referenced(value)
        if logical_id is not None:
            return self.queues.get(logical_id)
        name = values.last_part(value)
        return next((queue for queue in self.queues.values() if name is not None and queue.name == name), None)

    def function(self, value: Any) -> Function | None:
        """The function that a reference or a name means, also by an alias or a version of it."""
        logical_id = values.referenced(value)
        resource = (values.mapping(self.document, "Resources") or {}).get(logical_id or "")
        if isinstance(resource, Mapping) and resource.get("Type") in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            return self.function((values.mapping(resource, "Properties") or {}).get("FunctionName"))
        if logical_id is not None:
            return self.functions.get(logical_id)
        named = (one for one in self.functions.values() if isinstance(value, str))
        return next((one for one in named if values.text(one.properties, "FunctionName") == value), None)

    def _event_source(
        self, logical_id: str, properties: Mapping[str, Any], arn: Any, function: Function | None
    ) -> Iterator[EventSource]:
        queue = self.queue(arn)
        if queue is None and (
            (isinstance(arn, str) and ":sqs:" not in arn) or values.referenced(arn) in self._others()
        ):
            return
        is_fifo = queue.fifo if queue is not None else str(values.last_part(arn)).endswith(".fifo")
        yield EventSource(id=logical_id, properties=properties, queue=queue, function=function, is_fifo=is_fifo)

    def _others(self) -> set[str]:
        return {logical_id for logical_id, kind, _ in self.resources() if kind != "AWS::SQS::Queue"}
