"""A new version of a function that gets a part of the messages first, and is rolled back when its alarm goes off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sqs_tasks_cdk.acknowledgements import acknowledge

_POLICY: Final = "service-role/AWSCodeDeployRoleForLambdaLimited"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradualDeployment:
    """How a function's new version takes over.

    CodeDeploy moves the weights of the alias that the queue feeds. It moves them back when an alarm goes off: ours, for
    errors of the version itself, or one of yours. A task that fails is no error of the function.

    Attributes:
        config: In which steps; a tenth for five minutes, then all, when left out.
        alarms: Alarms of yours that end a deployment too. One that is on already when a deployment begins stops it.
    """

    config: codedeploy.ILambdaDeploymentConfig | None = None
    alarms: Sequence[cloudwatch.IAlarm] = ()


def deploy_gradually(
    scope: Construct, alias: lambda_.Alias, deployment: GradualDeployment, *, queue: str
) -> codedeploy.LambdaDeploymentGroup:
    """Make the deployment group of an alias, and the alarm that rolls it back, as children of ``scope``."""
    alarm = cloudwatch.Alarm(
        scope,
        "DeploymentErrors",
        metric=alias.metric_errors(period=Duration.minutes(1), statistic="Sum"),
        threshold=0,
        comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluation_periods=1,
        treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        alarm_description=f"The function of queue {queue} itself fails; a deployment in progress is rolled back",
    )
    # Of our own, to answer cdk-nag for the policy: it names CodeDeploy's own buckets and topics and aliases.
    role = iam.Role(
        scope,
        "DeploymentRole",
        assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"),
        managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(_POLICY)],
    )
    acknowledge(
        role,
        f"AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_POLICY}]",
        reason="What CodeDeploy needs to move an alias is what AWS keeps in this policy",
    )
    return codedeploy.LambdaDeploymentGroup(
        scope,
        "Deployment",
        alias=alias,
        deployment_config=deployment.config or codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
        alarms=[alarm, *deployment.alarms],
        role=role,
    )
