"""The constructs that deploy a registry of tasks: queues, workers and what watches them.

A stack is made from a manifest, the registry as plain data::

    from sqs_tasks_cdk.stack import TaskStack

    TaskStack(app, "Shop", manifest="tasks.json")

or construct by construct::

    from sqs_tasks_cdk.lambda_worker import LambdaWorker
    from sqs_tasks_cdk.task_queue import TaskQueue

    emails = TaskQueue(stack, "emails", queue_name="shop-emails")
    LambdaWorker(stack, "emails-worker", task_queue=emails, app="shop.tasks:env")
"""

from __future__ import annotations
