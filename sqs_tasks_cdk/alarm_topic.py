"""Letting CloudWatch publish to the topic of alarms.

A topic without a policy admits the services of its account. ``enforce_ssl`` gives it a policy of one Deny, which takes
the place of that, and from then on alarms change their state and nobody is notified (Z6).
"""

from __future__ import annotations

from typing import Final, cast

import jsii
from aws_cdk import Annotations, Aspects, IAspect, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

#: What CloudWatch does with the key of a topic.
_KEY_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey*")

_CLOUDWATCH: Final = "cloudwatch.amazonaws.com"


def let_cloudwatch_publish(scope: Construct, topic: sns.ITopic) -> None:
    """Admit CloudWatch to a topic of this app, and to the topic's key.

    A topic that has no policy in the end is left without one, since that admits CloudWatch already. The policy of a
    topic from elsewhere cannot be changed here. Calling it again changes nothing.

    Args:
        scope: Where a warning is shown about a key whose policy cannot be changed here.
        topic: The topic.
    """
    if not isinstance(topic, sns.Topic):
        return
    # At the end of the synthesis, when it is known whether the topic has a policy.
    Aspects.of(topic).add(cast("IAspect", _AdmitCloudWatch(topic)))
    if topic.master_key is not None:
        _admit_to_key(scope, topic.master_key)


@jsii.implements(IAspect)
class _AdmitCloudWatch:
    """Adds CloudWatch to the policy of a topic, if the topic has one."""

    def __init__(self, topic: sns.Topic) -> None:
        self._topic = topic

    def visit(self, node: IConstruct) -> None:
        """Look at the topic and at what lies below it."""
        if isinstance(node, sns.TopicPolicy):
            node.document.add_statements(
                _statement(self._topic, actions=["sns:Publish"], resources=[self._topic.topic_arn])
            )


def _admit_to_key(scope: Construct, key: kms.IKey) -> None:
    added = key.add_to_resource_policy(_statement(scope, actions=list(_KEY_ACTIONS), resources=["*"]))
    if not added.statement_added:
        Annotations.of(scope).add_warning_v2(
            "sqs-tasks:alarm-topic-key",
            "The key of the alarm topic is not made in this app, so its policy cannot be changed here. Its policy must "
            f"allow {_CLOUDWATCH} the actions {' and '.join(_KEY_ACTIONS)}, or no alarm reaches the topic. Keys that "
            "AWS manages (alias/aws/sns) cannot be changed: give the topic a key of your own.",
        )


def _statement(scope: Construct, *, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=actions,
        resources=resources,
        principals=[iam.ServicePrincipal(_CLOUDWATCH)],
        conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
    )
