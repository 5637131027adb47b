"""The CDK app of the deploy test: the registry's stack, and a producer that is granted one of its queues.

Context: ``manifest`` and ``code`` are paths, ``notes`` is the file that tasks write to, ``timeout`` is the workers'. With
``stage`` there is a second stack, of that stage, whose tasks write to a file of its own.
"""

from __future__ import annotations

from aws_cdk import App, CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.stack import TaskStack
from sqs_tasks_cdk.task_queue import TaskQueue

app = App()
code = lambda_.Code.from_asset(app.node.get_context("code"))
notes = {"E2E_NOTES": app.node.get_context("notes")}
stack = TaskStack(
    app,
    "E2E",
    manifest=app.node.get_context("manifest"),
    queue_defaults={"removal_policy": RemovalPolicy.DESTROY},
    lambda_defaults={
        "code": code,
        "runtime": lambda_.Runtime.PROVIDED_AL2023,
        "environment": notes,
        "timeout": Duration.seconds(int(app.node.get_context("timeout"))),
        "batch_size": 10,
    },
)
producer = lambda_.Function(
    stack,
    "Producer",
    code=code,
    runtime=lambda_.Runtime.PROVIDED_AL2023,
    architecture=lambda_.Architecture.ARM_64,
    handler="deployed_tasks.produce",
    environment=notes,
)
stack.tasks.queues["emails"].grant_send(producer)
stage = app.node.try_get_context("stage")
if stage is not None:
    # A package named app, whose name nothing in the bundle may take.
    greetings = TaskQueue(
        stack,
        "greetings",
        queue_name="e2e-greetings",
        tasks=[ManifestTask(name="greet", timeout_seconds=3, enqueues=())],
        removal_policy=RemovalPolicy.DESTROY,
    )
    LambdaWorker(
        stack,
        "Greeter",
        task_queue=greetings,
        app="app:env",
        code=code,
        runtime=lambda_.Runtime.PROVIDED_AL2023,
        environment=notes,
    )
    # Here the workers are in nested stacks, the queues feed an alias, and one function is on managed instances.
    staged = TaskStack(
        app,
        "E2E2",
        stage=stage,
        split=True,
        manifest=app.node.get_context("manifest"),
        queue_defaults={"removal_policy": RemovalPolicy.DESTROY},
        lambda_defaults={
            "code": lambda_.Code.from_asset(app.node.get_context("code")),
            "runtime": lambda_.Runtime.PROVIDED_AL2023,
            "environment": {"E2E_NOTES": f"{notes['E2E_NOTES']}.{stage}"},
        },
        lambda_settings={
            "emails": {"alias": "live"},
            "reports": {
                "capacity_provider": lambda_.CapacityProvider.from_capacity_provider_arn(
                    stack, "Instances", "arn:aws:lambda:us-east-1:000000000000:capacity-provider:e2e"
                )
            },
        },
        schedules=False,
    )
    staged.tasks.add_outputs()
    uploads = TaskQueue(staged, "uploads", queue_name="e2e-uploads", removal_policy=RemovalPolicy.DESTROY)
    bucket = s3.Bucket(staged, "Bucket", bucket_name="e2e-uploads", removal_policy=RemovalPolicy.DESTROY)
    uploads.from_bucket(bucket)
    # The CDK configures buckets by a function of its own, which the emulator cannot run; the bucket says it itself.
    bucket.node.try_remove_child("Notifications")
    staged.node.try_remove_child("BucketNotificationsHandler050a0587b7544547bf325f094a3db834")
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        queue_configurations=[
            s3.CfnBucket.QueueConfigurationProperty(event="s3:ObjectCreated:*", queue=uploads.queue.queue_arn)
        ]
    )
    uploads.from_topic(sns.Topic(staged, "Topic", topic_name="e2e-uploads"))
    uploads.from_rule(events.Rule(staged, "Rule", event_pattern=events.EventPattern(source=["e2e"])))
    api = apigateway.HttpApi(staged, "Api", api_name="e2e-uploads")
    uploads.from_api(api, "/hooks")
CfnOutput(stack, "ProducerName", value=producer.function_name)
app.synth()
