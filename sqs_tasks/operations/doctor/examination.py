"""What is examined, in the order in which it is: who asks, the registry, the queues, their consumers, the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqs_tasks.client import error_code
from sqs_tasks.deployment.deployed_stacks import DeployedStacks
from sqs_tasks.env import SQSEnv
from sqs_tasks.operations.doctor.caller import caller_findings
from sqs_tasks.operations.doctor.deployed import deployed_findings
from sqs_tasks.operations.doctor.finding import Finding, not_examined
from sqs_tasks.operations.doctor.letters import letter_findings
from sqs_tasks.operations.doctor.queues import queue_findings
from sqs_tasks.operations.doctor.registry import registry_findings
from sqs_tasks.operations.doctor.rights import rights_findings
from sqs_tasks.operations.doctor.schedules import schedule_findings
from sqs_tasks.operations.doctor.store import store_findings

#: Errors after which nothing else can be asked either.
_ENDS_ALL = frozenset({"no-credentials", "credentials-refused", "no-region", "no-endpoint"})


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What the doctor looks at, and by which clients; what has no client is not looked at.

    Attributes:
        env: The application.
        app: Where it is found, as ``module:attribute``.
        sts, iam: For who asks, and for the rights.
        lambda_client: For mappings and functions.
        scheduler: For schedules.
        schedule_group: The group that schedules are in; None looks for them in the stacks alone.
        stacks: Stacks in which to find what is no longer registered.
        role: Whose rights are asked for: ``producer``, ``worker`` or ``redrive``.
        looks: Whether some dead letters are looked at, which counts as a receive, for tasks that nobody registers.
    """

    env: SQSEnv
    app: str | None = None
    sts: Any = None
    iam: Any = None
    lambda_client: Any = None
    scheduler: Any = None
    schedule_group: str | None = None
    stacks: DeployedStacks | None = None
    role: str = "worker"
    looks: bool = False


def examine(examination: Examination) -> Iterator[Finding]:
    """The findings, as soon as each is known; none if all is well.

    Nothing is changed, and no message is received unless ``looks`` says so. What cannot be examined is a finding too.
    """
    env = examination.env
    ends = False
    for finding in caller_findings(env, examination.sts):
        ends = ends or finding.kind in _ENDS_ALL
        yield finding
    manifest = env.manifest(app=examination.app, without_tasks=True)
    yield from registry_findings(env)
    if ends:
        return
    for subject, check in _checks(examination, manifest).items():
        try:
            yield from check()
        except Exception as error:
            if not error_code(error) and not type(error).__module__.startswith("botocore"):
                raise
            yield not_examined(subject, error, f"give the right for it, or ask somebody who has it ({error})")


def _checks(examination: Examination, manifest: Mapping[str, Any]) -> dict[str, Callable[[], Iterator[Finding]]]:
    env = examination.env
    checks: dict[str, Callable[[], Iterator[Finding]]] = {"queues": lambda: queue_findings(env)}
    iam, sts = examination.iam, examination.sts
    if iam is not None and sts is not None:
        checks["rights"] = lambda: rights_findings(manifest, iam=iam, sts=sts, role=examination.role)
    if examination.lambda_client is not None:
        checks["mappings, functions and schedules"] = lambda: deployed_findings(
            manifest,
            sqs=env.client(),
            lambda_client=examination.lambda_client,
            stacks=examination.stacks,
            scheduler=examination.scheduler,
        )
    scheduler, group = examination.scheduler, examination.schedule_group
    if scheduler is not None and group is not None:
        checks["schedules"] = lambda: schedule_findings(env, scheduler, group)
    if examination.looks:
        checks["dead letters"] = lambda: letter_findings(env)
    checks["store"] = lambda: store_findings(env)
    return checks
