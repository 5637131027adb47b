"""What the owner of another account has to add to a queue there."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aws_cdk import Annotations, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from sqs_tasks_cdk.places import place_of


def show_other_account(
    scope: IConstruct,
    queue: sqs.IQueue,
    grantee: object,
    principal: iam.IGrantable,
    actions: Sequence[str],
    *,
    name: str,
) -> None:
    """Show the statement that the policy of a queue in another account needs; a grant here is half of it.

    A warning if the accounts are known to differ, and a note if this stack may be deployed to any account.

    Args:
        scope: Where it is shown.
        queue: The queue.
        grantee: Who is granted it.
        principal: What gets the policy.
        actions: What is granted.
        name: The queue's logical name.
    """
    account = place_of(queue).get("account")
    own = Stack.of(scope).account
    if account is None or account == own or isinstance(queue, sqs.Queue):
        return
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": _arn(principal, own)},
        "Action": list(actions),
        "Resource": f"arn:aws:sqs:{place_of(queue).get('region', '<region>')}:{account}:{_text(queue.queue_name)}",
    }
    who = repr(grantee.node.path) if hasattr(grantee, "node") else "a principal"
    text = (
        f"Queue {name!r} is in account {account}, whose policies decide too. For {who} the policy of "
        f"{_text(queue.queue_name)!r} must have: {json.dumps(statement)}"
    )
    if queue.encryption_master_key is not None:
        text += " The policy of its key must allow the same principal kms:Decrypt and kms:GenerateDataKey."
    if Token.is_unresolved(own):
        Annotations.of(scope).add_info(f"If this stack is deployed to another account: {text}")
    else:
        Annotations.of(scope).add_warning_v2(f"sqs-tasks:other-account-{_text(queue.queue_name)}", text)


def _arn(principal: iam.IGrantable, account: str) -> str:
    role = principal.grant_principal
    if isinstance(role, iam.Role):
        arn, path = role.role_arn, role.node.path
        place = "<account>" if Token.is_unresolved(account) else account
        return f"arn:aws:iam::{place}:role/<the role {path}>" if Token.is_unresolved(arn) else arn
    return "<the role that is granted>"


def _text(name: str) -> str:
    return "<name>" if Token.is_unresolved(name) else name
