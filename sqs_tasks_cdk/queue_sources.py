"""What puts messages of its own into a raw queue: a bucket, a topic, a rule, an HTTP API.

Each gets the permission to send, for itself and in its account alone. The constructs of the CDK leave the account out,
and let some of them read the queue's attributes as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import jsii
from aws_cdk import Annotations, Stack
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.acknowledgements import acknowledge
from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.queue_rights import SEND_KEY_ACTIONS, grant_key

if TYPE_CHECKING:
    from constructs import IConstruct

_SEND: Final = "sqs:SendMessage"


class QueueSources:
    """What may feed a queue: one part of :class:`~sqs_tasks_cdk.task_queue.TaskQueue`, which sets the attributes.

    ``sqs_tasks.envelopes`` opens the messages of buckets, topics and rules.
    """

    logical_name: str
    fifo: bool
    queue: sqs.IQueue

    def from_bucket(
        self,
        bucket: s3.IBucket,
        *filters: s3.NotificationKeyFilter,
        event_types: Sequence[s3.EventType] = (s3.EventType.OBJECT_CREATED,),
    ) -> None:
        """Get a message for each event of a bucket.

        Args:
            bucket: The bucket.
            filters: Prefixes and suffixes of keys; all keys when left out.
            event_types: Which events; objects that are created when left out.

        Raises:
            StackError: The queue is a FIFO queue, which S3 cannot send to.
        """
        if self.fifo:
            raise StackError(
                f"queue {self.logical_name!r} is a FIFO queue, and S3 sends to standard queues only; take a standard "
                "queue, or an EventBridge rule for the bucket's events (from_rule)"
            )
        self._admit(
            "s3.amazonaws.com",
            to=self.queue,
            source_arn=bucket.bucket_arn,
            # The ARN of a bucket names no account, and a deleted bucket's name can be another account's tomorrow.
            account={"StringEquals": {"aws:SourceAccount": Stack.of(bucket).account}},
        )
        for event_type in event_types:
            bucket.add_event_notification(
                event_type, cast("s3.IBucketNotificationDestination", _BucketTarget(self.queue)), *filters
            )

    def from_topic(
        self,
        topic: sns.ITopic,
        *,
        raw: bool = False,
        filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
    ) -> sns.Subscription:
        """Get a message for each notification of a topic.

        Args:
            topic: The topic. A FIFO topic can feed standard and FIFO queues, a standard topic standard ones.
            raw: Whether messages come as they were published, without the envelope of SNS.
            filter_policy: Which notifications, by their attributes; all when left out.
            dead_letter_queue: Where notifications go that SNS cannot deliver in the 23 days in which it tries.

        Raises:
            StackError: The queue is a FIFO queue and the topic is not.
        """
        if self.fifo and not topic.fifo:
            raise StackError(
                f"queue {self.logical_name!r} is a FIFO queue, and a standard topic cannot send to it; make one of "
                "them like the other"
            )
        # The ARN names the account already. SNS does not document that it says so once more.
        account = {"StringEqualsIfExists": {"aws:SourceAccount": topic.env.account}}
        for queue in (self.queue, dead_letter_queue):
            self._admit("sns.amazonaws.com", to=queue, source_arn=topic.topic_arn, account=account)
        made = sns.Subscription(
            self._construct(),
            f"From{topic.node.addr}",
            topic=topic,
            protocol=sns.SubscriptionProtocol.SQS,
            endpoint=self.queue.queue_arn,
            raw_message_delivery=raw,
            filter_policy=dict(filter_policy) if filter_policy is not None else None,
            dead_letter_queue=dead_letter_queue,
        )
        if dead_letter_queue is None:
            acknowledge(
                made,
                "Serverless::Serverless-SNSRedrivePolicy",
                reason="SNS tries for 23 days to deliver to a queue; dead_letter_queue= is for what is lost then",
            )
        return made

    def from_rule(
        self,
        rule: events.Rule,
        *,
        message_group_id: str | None = None,
        message: events.RuleTargetInput | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
    ) -> None:
        """Get a message for each event that an EventBridge rule matches.

        Args:
            rule: The rule.
            message_group_id: The group of all its messages; needed for a FIFO queue, which must deduplicate by content.
            message: What the body is; the whole event when left out.
            dead_letter_queue: Where events go that EventBridge cannot deliver in the 24 hours in which it tries; lost
                when left out. A standard queue.

        Raises:
            StackError: The queue is a FIFO queue and there is no group.
        """
        self._check_group(message_group_id)
        account = {"StringEquals": {"aws:SourceAccount": Stack.of(rule).account}}
        for queue in (self.queue, dead_letter_queue):
            self._admit("events.amazonaws.com", to=queue, source_arn=rule.rule_arn, account=account)
        target = _RuleTarget(self.queue, message_group_id, message, dead_letter_queue)
        rule.add_target(cast("events.IRuleTarget", target))

    def from_api(
        self,
        api: apigateway.HttpApi,
        path: str,
        *,
        methods: Sequence[apigateway.HttpMethod] = (apigateway.HttpMethod.POST,),
        authorizer: apigateway.IHttpRouteAuthorizer | None = None,
        message_group_id: str | None = None,
    ) -> list[apigateway.HttpRoute]:
        """Get a message for each request to a route of an HTTP API, without a function in between.

        The body of the request is the body of the message: a megabyte at most, and nothing of its headers. The caller
        gets the answer of SQS.

        Args:
            api: The API. It answers requests with a role that may send to this queue.
            path: The path of the route, as ``/hooks``.
            methods: The methods of the route; POST when left out.
            authorizer: Who may call it; the API's default when left out.
            message_group_id: The group of all its messages; needed for a FIFO queue.

        Raises:
            StackError: The queue is a FIFO queue and there is no group.
        """
        self._check_group(message_group_id)
        scope = self._construct()
        role_id = f"Api{api.node.addr}"
        role = cast("iam.Role | None", scope.node.try_find_child(role_id))
        if role is None:
            role = iam.Role(
                scope,
                role_id,
                assumed_by=iam.ServicePrincipal(
                    "apigateway.amazonaws.com",
                    conditions={"StringEqualsIfExists": {"aws:SourceAccount": Stack.of(scope).account}},
                ),
                description=f"What an API sends to queue {self.logical_name} with",
            )
            self.queue.grant(role, _SEND)
            if self.queue.encryption_master_key is not None:
                grant_key(self.queue.encryption_master_key, role, SEND_KEY_ACTIONS, name=self.logical_name)
        return list(
            api.add_routes(
                path=path,
                methods=list(methods),
                authorizer=authorizer,
                integration=_ApiIntegration(f"{self.logical_name}Queue", self.queue, role, message_group_id),
            )
        )

    def _construct(self) -> Construct:
        return cast("Construct", self)

    def _check_group(self, message_group_id: str | None) -> None:
        if self.fifo and message_group_id is None:
            raise StackError(
                f"queue {self.logical_name!r} is a FIFO queue, whose messages need a group; give message_group_id="
            )

    def _admit(
        self, service: str, *, to: sqs.IQueue | None, source_arn: str, account: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Let one resource of a service send to a queue, and let it use the queue's key."""
        if to is None:
            return
        name = repr(self.logical_name) if to is self.queue else f"{to.node.path!r} for dead letters"
        statement = iam.PolicyStatement(
            actions=[_SEND],
            resources=[to.queue_arn],
            principals=[iam.ServicePrincipal(service)],
            conditions={"ArnEquals": {"aws:SourceArn": source_arn}, **account},
        )
        if not to.add_to_resource_policy(statement).statement_added:
            self._warn(
                "queue",
                service,
                f"The policy of queue {name} cannot be changed here. It must allow {service} the action "
                f"{_SEND}, with aws:SourceArn as the condition.",
            )
        key = to.encryption_master_key
        if key is None:
            return
        # Without the source's ARN: a bucket or topic with the same key would be a circle.
        for_key = iam.PolicyStatement(
            actions=list(SEND_KEY_ACTIONS),
            resources=["*"],
            principals=[iam.ServicePrincipal(service)],
            conditions={name: dict(value) for name, value in account.items()},
        )
        if not key.add_to_resource_policy(for_key).statement_added:
            self._warn(
                "key",
                service,
                f"The policy of the key of queue {name} cannot be changed here. It must allow {service} "
                f"the actions {' and '.join(SEND_KEY_ACTIONS)}, or nothing arrives.",
            )

    def _warn(self, what: str, service: str, text: str) -> None:
        Annotations.of(self._construct()).add_warning_v2(f"sqs-tasks:source-{what}-{service}", text)


@jsii.implements(s3.IBucketNotificationDestination)
class _BucketTarget:
    def __init__(self, queue: sqs.IQueue) -> None:
        self._queue = queue

    def bind(self, scope: Construct, bucket: s3.IBucket) -> s3.BucketNotificationDestinationConfig:  # noqa: ARG002
        """S3 tries to send when it is configured: the policy must be there first."""
        policy = self._queue.node.try_find_child("Policy")
        return s3.BucketNotificationDestinationConfig(
            arn=self._queue.queue_arn,
            type=s3.BucketNotificationDestinationType.QUEUE,
            dependencies=None if policy is None else [policy],
        )


@jsii.implements(events.IRuleTarget)
class _RuleTarget:
    def __init__(
        self,
        queue: sqs.IQueue,
        group: str | None,
        message: events.RuleTargetInput | None,
        dead_letter_queue: sqs.IQueue | None,
    ) -> None:
        self._queue = queue
        self._dead_letter_queue = dead_letter_queue
        self._group = group
        self._message = message

    def bind(self, rule: events.IRule, id: str | None = None) -> events.RuleTargetConfig:  # noqa: A002, ARG002
        return events.RuleTargetConfig(
            arn=self._queue.queue_arn,
            input=self._message,
            target_resource=cast("IConstruct", self._queue),
            dead_letter_config=None
            if self._dead_letter_queue is None
            else events.CfnRule.DeadLetterConfigProperty(arn=self._dead_letter_queue.queue_arn),
            sqs_parameters=None
            if self._group is None
            else events.CfnRule.SqsParametersProperty(message_group_id=self._group),
        )


class _ApiIntegration(apigateway.HttpRouteIntegration):
    def __init__(self, construct_id: str, queue: sqs.IQueue, role: iam.Role, group: str | None) -> None:
        super().__init__(construct_id)
        self._queue = queue
        self._role = role
        self._group = group

    def bind(self, *_options: Any, **_more: Any) -> apigateway.HttpRouteIntegrationConfig:
        mapping = apigateway.ParameterMapping()
        mapping.custom("QueueUrl", self._queue.queue_url)
        mapping.custom("MessageBody", "$request.body")
        if self._group is not None:
            mapping.custom("MessageGroupId", self._group)
        return apigateway.HttpRouteIntegrationConfig(
            type=apigateway.HttpIntegrationType.AWS_PROXY,
            subtype=apigateway.HttpIntegrationSubtype.SQS_SEND_MESSAGE,
            payload_format_version=apigateway.PayloadFormatVersion.VERSION_1_0,
            credentials=apigateway.IntegrationCredentials.from_role(self._role),
            parameter_mapping=mapping,
        )
