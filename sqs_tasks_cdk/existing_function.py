"""A function that exists already and works queues: of this app or from elsewhere, or an alias or version of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from aws_cdk import Annotations, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sqs_tasks_cdk import limits, rules
from sqs_tasks_cdk.environment import APP_VARIABLE, BATCHING_WINDOW_VARIABLE, SERVICE_VARIABLE
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.target_variables import TargetVariables, variables_of
from sqs_tasks_cdk.unresolved import known

#: Seconds that Lambda gives a function that does not say.
_DEFAULT_FUNCTION_SECONDS: Final = 3

#: jsii keeps no Python object alive by itself, and what is found again in the tree must be this object, not a proxy.
_ALIVE: list[FunctionMappings] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingFunction:
    """What a queue feeds that is there already.

    Attributes:
        target: What the queue feeds: the function, an alias or a version of it.
        function: The function itself, where it can be known; otherwise what was given.
        made_here: The function if it is made in this app, which then can be read and given variables.
        alias: The alias, if that is what was given.
        role: What it may do.
    """

    target: lambda_.IFunction
    function: lambda_.IFunction
    made_here: lambda_.Function | None
    alias: lambda_.Alias | None
    role: iam.IRole

    @classmethod
    def of(cls, given: lambda_.IFunction, *, queue: str) -> Self:
        """Look behind an alias or a version of this app.

        Raises:
            StackError: It has no role here that could be granted anything.
        """
        function = given
        if isinstance(given, lambda_.Alias):
            function = given.version.lambda_
        elif isinstance(given, lambda_.Version):
            function = given.lambda_
        if given.role is None:
            raise StackError(
                f"queue {queue!r}: the existing function has no role here that could be granted the queue; import it "
                "with lambda_.Function.from_function_attributes(role=...)"
            )
        return cls(
            target=given,
            function=function,
            made_here=function if isinstance(function, lambda_.Function) else None,
            alias=given if isinstance(given, lambda_.Alias) else None,
            role=given.role,
        )

    def timeout(self, said: Duration | None, *, queue: str) -> Duration:
        """How long an invocation may take: as the function has it, or as it is said of one from elsewhere.

        Raises:
            StackError: It is said wrongly, or not said.
        """
        if self.made_here is None:
            if said is None:
                raise StackError(
                    f"queue {queue!r}: the timeout of an imported function cannot be read here, and the visibility "
                    "timeout depends on it; give timeout= with its value"
                )
            return said
        own = self.made_here.timeout or Duration.seconds(_DEFAULT_FUNCTION_SECONDS)
        if (
            said is not None
            and not said.is_unresolved()
            and not own.is_unresolved()
            and said.to_seconds() != own.to_seconds()
        ):
            raise StackError(
                f"queue {queue!r}: timeout of {int(said.to_seconds())} s for an existing function that has "
                f"{int(own.to_seconds())} s; leave timeout= out, and set it where the function is made"
            )
        return own


class FunctionMappings(Construct):
    """The queues that one existing function works, and what they have to agree on; a child of the function.

    Use :meth:`of`, never the constructor.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self._app: str | None = None
        self._service: str | None = None
        self._window_seconds = 0
        self._maxima: dict[str, int | None] = {}
        _ALIVE.append(self)

    @staticmethod
    def of(function: lambda_.Function) -> FunctionMappings:
        """The queues of this function, none at first."""
        found = function.node.try_find_child("TaskMappings")
        return found if isinstance(found, FunctionMappings) else FunctionMappings(function, "TaskMappings")

    def add(
        self,
        function: lambda_.Function,
        *,
        queue: str,
        fifo: bool,
        app: str,
        service_name: str | None,
        window_seconds: int,
        max_concurrency: int | None,
    ) -> None:
        """Let the function work one more queue, and give it the variables that a worker reads.

        Args:
            function: The function.
            queue: The logical name of the queue.
            fifo: Whether that is a FIFO queue.
            app: Where its worker finds its registry.
            service_name: Who its logs and metrics say they come from; None leaves that to the function.
            window_seconds: Of the mapping.
            max_concurrency: Of the mapping.

        Raises:
            StackError: Another queue of the function says another app or service name.
            RuleError: R4; the function has reserved less than its queues may start.
        """
        service_name = service_name or service_of(function)
        others = ", ".join(map(repr, self._maxima))
        for name, before, now in (("app", self._app, app), ("service_name", self._service, service_name)):
            if before is not None and now is not None and before != now:
                raise StackError(
                    f"queue {queue!r}: {name}={now!r} for a function that works {others} with {name}={before!r}; one "
                    "process has one: give the same, or another function"
                )
        self._app, self._service = app, service_name or self._service
        self._window_seconds = max(self._window_seconds, window_seconds)
        self._maxima[queue] = max_concurrency
        variables = TargetVariables.of(function)
        variables.set(APP_VARIABLE, app, instead="app=")
        if self._service is not None:
            variables.set(SERVICE_VARIABLE, self._service, instead="service_name=")
        if self._window_seconds:
            variables.set(BATCHING_WINDOW_VARIABLE, str(self._window_seconds), instead="max_batching_window=")
        resource = function.node.default_child
        reserved = known(resource.reserved_concurrent_executions) if isinstance(resource, lambda_.CfnFunction) else None
        if reserved is not None:
            check_reserve(self, fifo=fifo, maxima=self._maxima, reserved=int(reserved))
        if self._service is None:
            Annotations.of(self).add_info(
                "The service name of an existing function is not known here, and its metrics by task are found by it: "
                f"give service_name= with the {SERVICE_VARIABLE} that it has, or should have."
            )


def service_of(function: lambda_.Function | None) -> str | None:
    """Who the logs of a function of this app say that they come from, by its own variable; None if it has none."""
    found = None if function is None else variables_of(function).get(SERVICE_VARIABLE)
    return found if isinstance(found, str) else None


def check_reserve(scope: Construct, *, fifo: bool, maxima: dict[str, int | None], reserved: int) -> None:
    """Hold what a function has reserved against what its queues may start (R4, S34).

    Args:
        scope: Where a warning is shown.
        fifo: Whether the last queue is a FIFO queue.
        maxima: The maximum concurrency of each queue's mapping.
        reserved: The function's reserved concurrency.

    Raises:
        RuleError: R4; it is less than the sum.
    """
    rules.check_reserved(queues=list(maxima), maxima=list(maxima.values()), reserved=reserved)
    queue, maximum = list(maxima.items())[-1]
    if maximum is not None or fifo:
        return
    instead = (
        f"give max_concurrency={reserved} as well"
        if reserved >= limits.MIN_MAPPING_CONCURRENCY
        else "for one at a time, use a FIFO queue with one message group, or a container worker with concurrency=1"
    )
    Annotations.of(scope).add_warning_v2(
        f"sqs-tasks:reserved-concurrency-{queue}",
        f"Queue {queue!r} has no max_concurrency and its function reserves {reserved}: Lambda receives more than that, "
        "and each throttled batch is a delivery of messages that did not run, until they are dead-lettered. "
        f"Instead {instead}.",
    )
