"""FargateWorker: the service, its rights, its times and what scales it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager

from sqs_tasks import Every, MemorySession, Postpone, Schedule, SQSEnv
from sqs_tasks.backoff_policies import IMMEDIATE_RETURN
from sqs_tasks.cli.logs import JSONFormatter
from sqs_tasks.cli.worker import worker
from sqs_tasks_cdk.backlog_scaling import backlog_of_one_task
from sqs_tasks_cdk.bundling import PythonBundle
from sqs_tasks_cdk.errors import RuleError, StackError
from sqs_tasks_cdk.fargate_worker import FargateWorker
from sqs_tasks_cdk.job_metrics import LOGGED
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import ManifestTask
from sqs_tasks_cdk.stack import SqsTasks, TaskStack
from sqs_tasks_cdk.task_queue import TaskQueue
from tests.support.manifests import manifest, queue, task
from tests.support.templates import Resources, joined

CODE = lambda_.Code.from_inline("def handler(event, context): ...")
IMAGE = ecs.ContainerImage.from_registry("registry.example/shop:1")


def _queue(stack: Stack, name: str = "films", *, timeout_seconds: float = 3_600, **settings: Any) -> TaskQueue:
    return TaskQueue(
        stack,
        name,
        queue_name=f"shop-{name}",
        tasks=[ManifestTask(name="render", timeout_seconds=timeout_seconds, max_attempts=2)],
        **settings,
    )


def _worker(stack: Stack, *queues: TaskQueue, **settings: Any) -> FargateWorker:
    return FargateWorker(
        stack,
        "Worker",
        task_queues=queues or (_queue(stack),),
        app="shop.tasks:env",
        **{"image": IMAGE, **settings},
    )


def _environment(resources: Resources) -> dict[str, Any]:
    container = resources.only("ECS::TaskDefinition")["ContainerDefinitions"][0]
    return {item["Name"]: item["Value"] for item in container["Environment"]}


def test_worker_with_nothing_set(stack: Stack) -> None:
    """Nothing set: arm64, the worker's command, two minutes to stop, a cluster that counts its tasks, no NAT."""
    _worker(stack)

    resources = Resources(stack)
    definition = resources.only("ECS::TaskDefinition")
    container = definition["ContainerDefinitions"][0]
    assert definition["RuntimePlatform"] == {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}
    assert (definition["Cpu"], definition["Memory"]) == ("256", "512")
    assert container["Command"] == ["python", "-m", "sqs_tasks", "worker", "shop.tasks:env", "films"]
    assert container["StopTimeout"] == 120
    assert container["LinuxParameters"]["InitProcessEnabled"] is True
    environment = _environment(resources)
    assert '"films":' in joined(environment.pop("SQS_TASKS_QUEUE_URLS"))
    assert environment == {
        "SQS_TASKS_APP": "shop.tasks:env",
        "SQS_TASKS_CONCURRENCY": "10",
        "SQS_TASKS_GRACE_SECONDS": "115",
        "SQS_TASKS_HEALTH_PORT": "8080",
        "SQS_TASKS_LOG_LEVEL": "info",
        "SQS_TASKS_LOG_FORMAT": "json",
        "POWERTOOLS_SERVICE_NAME": "shop",
        "POWERTOOLS_METRICS_NAMESPACE": "SqsTasks",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    assert container["HealthCheck"]["Command"][:3] == ["CMD", "python", "-c"]
    assert "http://127.0.0.1:8080/live" in container["HealthCheck"]["Command"][3]
    service = resources.only("ECS::Service")
    assert "DesiredCount" not in service, "a deploy would undo what scaling decided"
    assert service["DeploymentConfiguration"]["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "ENABLED"
    assert resources.only("ECS::Cluster")["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enabled"}]
    assert resources.of_type("EC2::NatGateway") == {}
    assert resources.only("EC2::SecurityGroup").get("SecurityGroupIngress") is None
    assert resources.only("Logs::LogGroup")["RetentionInDays"] == 30


def test_worker_reads_every_variable_that_it_is_given(stack: Stack) -> None:
    """What the constructs say in the environment, the library listens to."""
    _worker(stack)
    LambdaWorker(
        stack,
        "Function",
        task_queue=_queue(stack, "songs", timeout_seconds=5),
        app="shop.tasks:env",
        code=CODE,
        max_batching_window=Duration.seconds(1),
    )
    resources = Resources(stack)
    variables = {*_environment(resources), *resources.only("Lambda::Function")["Environment"]["Variables"]}
    sources = "\n".join(path.read_text() for path in (Path(__file__).parents[2] / "sqs_tasks").rglob("*.py"))

    read_by_options = {parameter.envvar for parameter in worker.params if isinstance(parameter.envvar, str)}

    ours = {name for name in variables if name.startswith("SQS_TASKS_")}

    assert {name for name in ours if f'"{name}"' not in sources} - read_by_options == set()


def test_metrics_by_task_come_of_the_lines_that_a_worker_logs(
    stack: Stack, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CloudWatch is told to count is what jobs really log, and no name that a message made up is a dimension."""
    _worker(stack)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
    session = MemorySession()
    env = SQSEnv(session)
    jobs = env.queue("films", backoff_policy=IMMEDIATE_RETURN)
    env.create_queues()

    @jobs.processor("render", max_attempts=2)
    def render(fails: bool) -> None:
        if fails:
            raise ValueError

    @jobs.processor("wait")
    def wait() -> None:
        raise Postpone(60)

    @jobs.processor("refresh", schedule=Schedule(Every(minutes=15), late_seconds=60))
    def refresh() -> None: ...

    render.delay(fails=False)
    render.delay(fails=True)
    wait.delay()
    jobs.outbox.send(refresh.schedules[""].message_at(datetime.now(UTC) - timedelta(hours=1)))
    jobs.add_job("unheard_of")
    session.client("sqs").send_message(
        QueueUrl=env.get_queue_url("films"),
        MessageBody="{ poison",
        MessageAttributes={
            "JobName": {"DataType": "String", "StringValue": "made_up"},
            "ContentType": {"DataType": "String", "StringValue": "json"},
        },
    )
    with caplog.at_level("INFO"):
        for _ in range(3):
            env.process_batch("films", wait_seconds=0)
    formatter = JSONFormatter()
    lines = [json.loads(formatter.format(record)) for record in caplog.records]

    filters = {
        item["Properties"]["MetricTransformations"][0]["MetricName"]: item["Properties"]
        for item in Resources(stack).of_type("Logs::MetricFilter").values()
    }
    assert {name: item["FilterPattern"] for name, item in filters.items()} == {
        **{name: f'{{ $.action = "{action}" }}' for name, action in LOGGED.items()},
        "DurationSeconds": (
            '{ ($.action = "job_succeeded") || ($.action = "job_retried") || ($.action = "job_rejected") }'
        ),
    }
    for name, item in filters.items():
        (made,) = item["MetricTransformations"]
        counted = [line for line in lines if f'"{line.get("action")}"' in item["FilterPattern"]]
        assert counted, f"nothing logs what {name} counts"
        assert {(line["queue_name"], line["service"], line["task_name"]) for line in counted} <= {
            ("films", "shop", name) for name in ("render", "refresh", "wait", "(unknown)")
        }
        assert {item["Key"]: item["Value"] for item in made["Dimensions"]} == {
            "queue": "$.queue_name",
            "service": "$.service",
            "task": "$.task_name",
        }
        ran = [line for line in counted if line["task_name"] != "(unknown)"]
        assert made["MetricValue"] == "1" or all(line["duration_seconds"] >= 0 for line in ran)


def test_worker_with_everything_set(stack: Stack) -> None:
    """Everything set arrives in the template."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)
    secret = secretsmanager.Secret(stack, "Secret")
    _worker(
        stack,
        _queue(stack, "films"),
        _queue(stack, "songs", timeout_seconds=60),
        cluster=ecs.Cluster(stack, "Cluster", vpc=vpc),
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        security_groups=[ec2.SecurityGroup(stack, "Group", vpc=vpc)],
        assign_public_ip=False,
        cpu=1_024,
        memory_limit_mib=2_048,
        cpu_architecture=ecs.CpuArchitecture.X86_64,
        environment={"MODE": "live"},
        secrets={"TOKEN": ecs.Secret.from_secrets_manager(secret)},
        service_name="cinema",
        log_level="DEBUG",
        concurrency=3,
        stop_timeout=Duration.seconds(60),
        grace_period=Duration.seconds(40),
        min_tasks=2,
        max_tasks=20,
        target_latency=Duration.minutes(10),
        mean_task_duration=Duration.seconds(30),
        scale_in_protection=False,
        health_port=9000,
        health_check=ecs.HealthCheck(command=["CMD", "true"]),
        capacity_provider_strategies=[ecs.CapacityProviderStrategy(capacity_provider="FARGATE_SPOT", weight=1)],
        log_retention=logs.RetentionDays.ONE_WEEK,
        log_removal_policy=RemovalPolicy.RETAIN,
    )

    resources = Resources(stack)
    definition = resources.only("ECS::TaskDefinition")
    container = definition["ContainerDefinitions"][0]
    assert (definition["Cpu"], definition["Memory"]) == ("1024", "2048")
    assert definition["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    assert container["Command"][-2:] == ["films", "songs"]
    assert container["StopTimeout"] == 60
    assert [item["Name"] for item in container["Secrets"]] == ["TOKEN"]
    assert container["HealthCheck"]["Command"] == ["CMD", "true"]
    environment = _environment(resources)
    assert environment["MODE"] == "live"
    assert environment["SQS_TASKS_CONCURRENCY"] == "3"
    assert environment["SQS_TASKS_GRACE_SECONDS"] == "40"
    assert environment["SQS_TASKS_HEALTH_PORT"] == "9000"
    assert environment["SQS_TASKS_LOG_LEVEL"] == "debug"
    assert environment["POWERTOOLS_SERVICE_NAME"] == "cinema"
    service = resources.only("ECS::Service")
    assert service["CapacityProviderStrategy"] == [{"CapacityProvider": "FARGATE_SPOT", "Weight": 1}]
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    target = resources.only("ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 20)
    policy = resources.only("ApplicationAutoScaling::ScalingPolicy")
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60
    assert "ecs:UpdateTaskProtection" not in str(resources.statements())
    assert resources.only("Logs::LogGroup")["RetentionInDays"] == 7


def test_r2_visibility_holds_one_run_of_the_slowest_task(stack: Stack) -> None:
    """R2: a heartbeat extends it, so a crash of an hour's task costs an hour and not six."""
    _worker(stack, _queue(stack, "films", timeout_seconds=3_600), _queue(stack, "songs", timeout_seconds=1))

    resources = Resources(stack)
    assert resources.queue("shop-films")["VisibilityTimeout"] == 3_605
    assert resources.queue("shop-songs")["VisibilityTimeout"] == 60


def test_r2_task_longer_than_twelve_hours_is_refused(stack: Stack) -> None:
    """R2: SQS hides no message longer than 12 hours from its receive."""
    with pytest.raises(RuleError, match=r"may run 43200 s.*split the task.*\[R2\]"):
        _worker(stack, _queue(stack, timeout_seconds=43_200))


def test_r2_queue_of_a_function_and_a_service_suits_both(stack: Stack) -> None:
    """R2: a queue that both kinds of workers work has the larger visibility."""
    films = _queue(stack, timeout_seconds=100)
    _worker(stack, films)
    LambdaWorker(stack, "Function", task_queue=films, app="shop.tasks:env", code=CODE)

    assert Resources(stack).queue("shop-films")["VisibilityTimeout"] == 6 * 305


def test_role_is_least_privilege(stack: Stack) -> None:
    """The task's role consumes its queue, sends to its dead-letter queue and protects tasks of its cluster."""
    _worker(stack)

    resources = Resources(stack)
    assert "sqs:ReceiveMessage" in resources.actions_on("filmsQueue")
    assert resources.actions_on("DeadLetters") == {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    (statement,) = [item for item in resources.statements() if "ecs:UpdateTaskProtection" in item["Action"]]
    (cluster_id,) = resources.of_type("ECS::Cluster")
    assert statement["Condition"] == {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": [cluster_id, "Arn"]}}}


def test_worker_may_be_granted_other_queues(stack: Stack) -> None:
    """R5: ``grant_send(worker)`` gives the right to the task's role and the URL to the container."""
    worker = _worker(stack)
    TaskQueue(stack, "images", queue_name="shop-images").grant_send(worker)

    resources = Resources(stack)
    assert "sqs:SendMessage" in resources.actions_on("imagesQueue")
    assert '"images":' in joined(_environment(resources)["SQS_TASKS_QUEUE_URLS"])


@pytest.mark.parametrize(
    ("latency", "mean", "concurrency", "backlog"),
    [(60, 30, 10, 20), (60, 3_600, 10, 1), (1, 0.5, 1, 2), (59, 60, 1, 1)],
)
def test_e2_backlog_follows_the_target_latency(latency: float, mean: float, concurrency: int, backlog: int) -> None:
    """E2: what a task can have before it is what it does within the latency, and never nothing."""
    assert (
        backlog_of_one_task(target_latency_seconds=latency, mean_task_seconds=mean, concurrency=concurrency) == backlog
    )


def test_e1_scaling_tracks_the_backlog_of_each_running_task(stack: Stack) -> None:
    """E1: the policy divides what is not done by the tasks that run, and never by nothing."""
    _worker(stack, _queue(stack, "films"), _queue(stack, "songs"))

    resources = Resources(stack)
    policy = resources.only("ApplicationAutoScaling::ScalingPolicy")
    configuration = policy["TargetTrackingScalingPolicyConfiguration"]
    metrics = {item["Id"]: item for item in configuration["CustomizedMetricSpecification"]["Metrics"]}
    assert policy["PolicyType"] == "TargetTrackingScaling"
    assert metrics["per_task"]["ReturnData"] is True
    assert metrics["per_task"]["Expression"] == (
        "(FILL(visible0, 0) + FILL(flight0, 0) + FILL(visible1, 0) + FILL(flight1, 0))"
        " / IF(FILL(running, 0) > 0, FILL(running, 0), 1)"
    )
    assert {name for name, item in metrics.items() if item["ReturnData"] is False} == {
        "running",
        "visible0",
        "flight0",
        "visible1",
        "flight1",
    }
    # Of each task ECS sends one sample a minute, with Container Insights or without.
    assert metrics["running"]["MetricStat"]["Stat"] == "SampleCount"
    running = metrics["running"]["MetricStat"]["Metric"]
    assert (running["Namespace"], running["MetricName"]) == ("AWS/ECS", "CPUUtilization")
    assert {item["Name"] for item in running["Dimensions"]} == {"ClusterName", "ServiceName"}
    visible = metrics["visible1"]["MetricStat"]["Metric"]
    assert visible["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert visible["Dimensions"] == [{"Name": "QueueName", "Value": "shop-songs"}]
    assert resources.of_type("CloudWatch::Alarm") == {}


def test_e3_service_sleeps_and_wakes(stack: Stack) -> None:
    """E3: with no least number the last task is stopped after five idle minutes and the first started by a message."""
    worker = _worker(stack, min_tasks=0)

    resources = Resources(stack)
    assert resources.only("ApplicationAutoScaling::ScalableTarget")["MinCapacity"] == 0
    policies = {
        item["Properties"]["StepScalingPolicyConfiguration"]["AdjustmentType"]: item["Properties"][
            "StepScalingPolicyConfiguration"
        ]["StepAdjustments"]
        for item in resources.of_type("ApplicationAutoScaling::ScalingPolicy").values()
        if item["Properties"]["PolicyType"] == "StepScaling"
    }
    assert policies == {
        "ChangeInCapacity": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        "ExactCapacity": [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0}],
    }
    alarms = {
        next(name for name in ("Wake", "Sleep") if name in key): item["Properties"]
        for key, item in resources.of_type("CloudWatch::Alarm").items()
    }
    assert alarms["Sleep"]["EvaluationPeriods"] == 5
    assert alarms["Sleep"]["ComparisonOperator"] == "LessThanOrEqualToThreshold"
    assert alarms["Wake"]["EvaluationPeriods"] == 1
    assert all(len(alarm["AlarmActions"]) == 1 for alarm in alarms.values())
    assert worker.scaling.wake_alarm is not None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"stop_timeout": Duration.seconds(121)}, "stop_timeout of 121 s; Fargate waits 2 to 120 s"),
        ({"stop_timeout": Duration.seconds(1)}, "stop_timeout of 1 s; Fargate waits 2 to 120 s"),
        (
            {"stop_timeout": Duration.seconds(30), "grace_period": Duration.seconds(26)},
            "grace_period of 26 s with a stop_timeout of 30 s.*set it to 25 s or less",
        ),
        ({"min_tasks": 3, "max_tasks": 2}, "min_tasks 3 and max_tasks 2"),
        ({"min_tasks": -1}, "min_tasks -1"),
        ({"bundle": PythonBundle(packages=["shop"])}, "give one of them"),
        ({"task_queues": []}, "has no queue; give it one or more"),
        ({"environment": {"SQS_TASKS_APP": "x:y"}}, "environment sets SQS_TASKS_APP"),
        (
            {"environment": {"SQS_TASKS_CONCURRENCY": "50"}},
            "environment sets SQS_TASKS_CONCURRENCY.*; use concurrency=",
        ),
        ({"environment": {"SQS_TASKS_LOG_FORMAT": "text"}}, "environment sets SQS_TASKS_LOG_FORMAT.*; use json"),
        (
            {"environment": {"POWERTOOLS_SERVICE_NAME": "films"}, "service_name": "shop"},
            "POWERTOOLS_SERVICE_NAME to 'films' and service_name= is 'shop'",
        ),
    ],
)
def test_wrong_settings_are_refused(stack: Stack, settings: dict[str, Any], says: str) -> None:
    """What cannot work is refused with what can."""
    arguments: dict[str, Any] = {"task_queues": [_queue(stack)], "app": "shop.tasks:env", "image": IMAGE, **settings}

    with pytest.raises(StackError, match=says):
        FargateWorker(stack, "Worker", **arguments)


def test_cluster_and_network_exclude_each_other(stack: Stack) -> None:
    """A cluster brings its network along."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)

    with pytest.raises(StackError, match="leave out vpc="):
        _worker(stack, cluster=ecs.Cluster(stack, "Cluster", vpc=vpc), vpc=vpc)


def test_image_is_made_of_the_bundle(app: App, stack: Stack, tmp_path: Path) -> None:
    """Without an image one is described: the application, the library, their requirements, not as root."""
    project = tmp_path / "project"
    (project / "shop").mkdir(parents=True)
    (project / "shop" / "tasks.py").write_text("env = None\n")
    (project / "requirements.txt").write_text("attrs==25.1.0\n")
    _worker(stack, image=None, bundle=PythonBundle(source=project, packages=["shop"]))
    app.synth()

    (asset,) = [path for path in Path(app.outdir).glob("asset.*") if path.is_dir()]
    assert (asset / "code" / "shop" / "tasks.py").is_file()
    assert (asset / "code" / "sqs_tasks" / "__main__.py").is_file()
    assert (asset / "requirements-0.txt").read_text() == "attrs==25.1.0\n"
    assert "click" in (asset / "requirements-1-complete.txt").read_text()
    dockerfile = (asset / "Dockerfile").read_text()
    assert "USER 1000" in dockerfile
    assert 'CMD ["python", "-m", "sqs_tasks", "worker"]' in dockerfile


def test_registry_runs_each_queue_where_it_says(app: App) -> None:
    """``runs_on`` decides: a function for one queue, services in one cluster for the others."""
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(
            queue("emails"),
            queue("films", runs_on="fargate", tasks=[task("render", timeout_seconds=7_200, enqueues=["emails"])]),
            queue("songs", runs_on="fargate"),
        ),
        lambda_defaults={"code": CODE},
        fargate_defaults={"image": IMAGE},
        fargate_settings={"films": {"max_tasks": 3}},
    )

    resources = Resources(stack)
    assert isinstance(stack.tasks.workers["emails"], LambdaWorker)
    assert isinstance(stack.tasks.workers["films"], FargateWorker)
    assert len(resources.of_type("Lambda::Function")) == 1
    assert len(resources.of_type("ECS::Service")) == 2
    assert len(resources.of_type("ECS::Cluster")) == 1
    assert resources.queue("shop-films")["VisibilityTimeout"] == 7_205
    capacities = {
        item["Properties"]["MaxCapacity"]
        for item in resources.of_type("ApplicationAutoScaling::ScalableTarget").values()
    }
    assert capacities == {3, 10}


def test_registry_takes_a_network(app: App) -> None:
    """The services of a registry share the network they are given, without public addresses."""
    stack = Stack(app, "Shop")
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1)
    SqsTasks(
        stack,
        "Tasks",
        manifest=manifest(queue("films", runs_on="fargate")),
        fargate_defaults={"image": IMAGE},
        vpc=vpc,
    )

    resources = Resources(stack)
    assert len(resources.of_type("EC2::VPC")) == 1
    service = resources.only("ECS::Service")
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"


def test_classes_of_jobs_share_a_service(app: App) -> None:
    """It takes their weights from the registry; settings for another than the first queue would have no service."""
    group = [
        queue(f"jobs_{name}", runs_on="fargate", weight=weight, priority_group="jobs")
        for name, weight in (("high", 8), ("low", 1.5))
    ]
    stack = TaskStack(
        app,
        "Shop",
        manifest=manifest(*group, queue("films", runs_on="fargate")),
        fargate_defaults={"image": IMAGE},
        fargate_settings={"jobs_high": {"max_tasks": 7}},
    )

    resources = Resources(stack)
    workers = stack.tasks.workers
    assert workers["jobs_high"] is workers["jobs_low"]
    assert len(list(workers)) == len(resources.of_type("ECS::Service")) == 2
    assert [one.logical_name for one in workers["jobs_low"].task_queues] == ["jobs_high", "jobs_low"]
    with pytest.raises(StackError, match="give them for 'jobs_high'"):
        TaskStack(
            app,
            "Other",
            manifest=manifest(*group),
            fargate_defaults={"image": IMAGE},
            fargate_settings={"jobs_low": {"max_tasks": 7}},
        )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"lambda_settings": {"films": {}}},
            "lambda_settings for queue 'films', which runs on fargate; give fargate_set",
        ),
        ({"fargate_settings": {"emails": {}}}, "fargate_settings for queue 'emails', which runs on lambda"),
        ({"fargate_settings": {"film": {}}}, "fargate_settings for 'film'"),
    ],
)
def test_settings_for_the_other_kind_are_refused(app: App, settings: dict[str, Any], says: str) -> None:
    """Settings that nothing would use do not pass unseen."""
    with pytest.raises(StackError, match=says):
        TaskStack(
            app,
            "Shop",
            manifest=manifest(queue("emails"), queue("films", runs_on="fargate")),
            lambda_defaults={"code": CODE},
            fargate_defaults={"image": IMAGE},
            **settings,
        )
