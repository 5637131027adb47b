"""The CDK app: the registry's stack with a producer and alarms.

``TaskStack`` alone would do: ``cdk deploy -c app=examples.stack.tasks:env`` with the repository's ``cdk.json`` deploys
the same queues and workers without this file. It is here for what an application adds.
"""

from __future__ import annotations

from aws_cdk import App, CfnOutput, Duration
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from examples.stack.tasks import env
from sqs_tasks_cdk.__main__ import monitor
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.fargate_worker import FargateWorkerSettings
from sqs_tasks_cdk.lambda_worker import LambdaWorkerSettings
from sqs_tasks_cdk.stack import TaskStack


class StudioStack(TaskStack):
    """The studio.

    Args:
        scope: The CDK app.
        construct_id: The stack's id.
        code: The functions' code, ready made; bundled when left out.
        runtime: The functions' runtime.
        image: The containers' image, ready made; built from the same bundle when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: lambda_.Code | None = None,
        runtime: lambda_.Runtime = lambda_.Runtime.PYTHON_3_13,
        image: ecs.ContainerImage | None = None,
    ) -> None:
        architecture = lambda_.Architecture.ARM_64
        bundle = PythonBundle(packages=["examples"])
        if code is None:
            code = bundle.to_code(runtime=runtime, architecture=architecture)
        if image is None:
            image = bundle.to_image(cpu_architecture=ecs.CpuArchitecture.ARM64)
        super().__init__(
            scope,
            construct_id,
            manifest=env.manifest(app="examples.stack.tasks:env"),
            lambda_defaults=LambdaWorkerSettings(code=code, runtime=runtime, max_concurrency=50),
            lambda_settings={"stills": LambdaWorkerSettings(memory_size=1_024)},
            fargate_defaults=FargateWorkerSettings(
                image=image,
                cpu=1_024,
                memory_limit_mib=2_048,
                concurrency=2,
                min_tasks=0,
                max_tasks=4,
                target_latency=Duration.minutes(30),
                mean_task_duration=Duration.minutes(10),
            ),
        )
        self.api = lambda_.Function(
            self,
            "Api",
            code=code,
            runtime=runtime,
            architecture=architecture,
            handler="examples.stack.api.handler",
            timeout=Duration.seconds(10),
            memory_size=512,
            log_group=logs.LogGroup(self, "ApiLogs", retention=logs.RetentionDays.ONE_MONTH),
        )
        # The right, and the URL in its environment: nothing else is needed to call .delay().
        self.tasks.queues["bookings.fifo"].grant_send(self.api)
        self.tasks.queues["stills"].grant_send(self.api)
        CfnOutput(self, "ApiName", value=self.api.function_name)


def main() -> None:
    """Synthesise."""
    app = App()
    monitor(StudioStack(app, "Studio"))
    app.synth()


if __name__ == "__main__":
    main()
