"""Whether the caller may do what a worker or a producer does: asked of IAM, without doing it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sqs_tasks.deployment.iam_policy import Role, iam_policy
from sqs_tasks.operations.doctor.finding import Finding

#: ARNs in one simulation, and actions: what keeps a request small.
_AT_ONCE = 20

_ASSUMED = re.compile(r"arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.*")


def rights_findings(manifest: Mapping[str, Any], *, iam: Any, sts: Any, role: str) -> Iterator[Finding]:
    """The actions of a role on the registered queues that IAM would refuse to the caller.

    Args:
        manifest: What ``env.manifest()`` returned.
        iam: A client of IAM.
        sts: A client of STS.
        role: Whose actions.
    """
    identity = sts.get_caller_identity()
    arn = str(identity["Arn"])
    partition = arn.split(":")[1]
    policy = iam_policy(
        manifest,
        role=cast("Role", role),
        partition=partition,
        region=sts.meta.region_name,
        account=str(identity["Account"]),
    )
    caller = _ASSUMED.sub(r"arn:\1:iam::\2:role/\3", arn)
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        for start in range(0, len(resources), _AT_ONCE):
            answer = iam.simulate_principal_policy(
                PolicySourceArn=caller,
                ActionNames=statement["Action"],
                ResourceArns=resources[start : start + _AT_ONCE],
            )
            yield from _refused(answer, caller, role)


def _refused(answer: Mapping[str, Any], caller: str, role: str) -> Iterator[Finding]:
    by_resource: dict[str, list[str]] = {}
    for result in answer.get("EvaluationResults", ()):
        if result["EvalDecision"] != "allowed":
            by_resource.setdefault(result.get("EvalResourceName", "*"), []).append(result["EvalActionName"])
    for resource, actions in by_resource.items():
        yield Finding(
            kind="right-missing",
            severity="error",
            subject=f"queue {resource.rpartition(':')[2]}",
            what=f"{caller} may not: {', '.join(sorted(actions))}",
            why=f"a {role} with these credentials fails at its first such request",
            fix=f"sqs-tasks iam APP --role {role} prints the policy that it needs",
        )
