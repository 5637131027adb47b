"""Lambda Managed Instances: a function on EC2 instances of your account that Lambda runs, for up to 90 minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aws_cdk import aws_lambda as lambda_

from sqs_tasks_cdk.defaults import MIN_MANAGED_MEMORY_SIZE
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.unresolved import known

#: What they do not have; the capacity provider has the network.
_NOT_WITH: Final = ("vpc", "vpc_subnets", "security_groups", "snap_start")

#: Python 3.13 is the first that runs on them.
_TOO_OLD: Final = frozenset({"python3.9", "python3.10", "python3.11", "python3.12"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedInstances:
    """How a function runs on the instances of a capacity provider.

    Attributes:
        provider: The capacity provider.
        concurrency: Invocations at once in one environment, 1 to 1,600. Each is a Python process with its own memory,
            and they share ``/tmp``. What Lambda chooses (16 for each virtual CPU) when left out.
        memory_gib_per_vcpu: Memory for each virtual CPU, 2 to 8 GiB.
        min_environments: Environments that are there at all times.
        max_environments: Environments under load.
    """

    provider: lambda_.ICapacityProvider
    concurrency: int | None = None
    memory_gib_per_vcpu: float | None = None
    min_environments: int | None = None
    max_environments: int | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> ManagedInstances | None:
        """What the settings of a function say of its capacity provider."""
        given = settings.get("capacity_provider")
        return given if given is None or isinstance(given, ManagedInstances) else cls(provider=given)

    def check(self, settings: Mapping[str, Any], *, queue: str) -> None:
        """Refuse what a function on managed instances cannot have.

        Raises:
            StackError: The text says what to leave out, or which values there are.
        """
        where = f"queue {queue!r}: a function on Lambda Managed Instances (capacity_provider=)"
        names = [name for name in _NOT_WITH if settings.get(name) not in (None, False)]
        if names:
            raise StackError(f"{where} cannot be given {', '.join(names)}; the capacity provider has the network")
        memory = known(settings.get("memory_size"))
        if memory is not None and memory < MIN_MANAGED_MEMORY_SIZE:
            raise StackError(
                f"{where} with memory_size {memory}; it has {MIN_MANAGED_MEMORY_SIZE} MB at least; raise it"
            )
        runtime = settings.get("runtime")
        if runtime is not None and runtime.name in _TOO_OLD:
            raise StackError(f"{where} with the runtime {runtime.name}; Python 3.13 is the oldest; take a newer one")

    def apply(self, function: lambda_.Function, *, has_alias: bool) -> None:
        """Put a function on the instances."""
        resource = cast("lambda_.CfnFunction", function.node.default_child)
        cfn = lambda_.CfnFunction
        resource.capacity_provider_config = cfn.CapacityProviderConfigProperty(
            lambda_managed_instances_capacity_provider_config=cfn.LambdaManagedInstancesCapacityProviderConfigProperty(
                capacity_provider_arn=self.provider.capacity_provider_arn,
                execution_environment_memory_gib_per_v_cpu=self.memory_gib_per_vcpu,
                per_execution_environment_max_concurrency=self.concurrency,
            )
        )
        if not has_alias:
            # Only published versions run there. Without an alias the mapping feeds $LATEST.PUBLISHED.
            resource.publish_to_latest_published = True
        if self.min_environments is not None or self.max_environments is not None:
            resource.function_scaling_config = cfn.FunctionScalingConfigProperty(
                min_execution_environments=self.min_environments, max_execution_environments=self.max_environments
            )
