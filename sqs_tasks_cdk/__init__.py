"""The constructs that deploy a registry of tasks: queues, workers and what watches them.

A stack is made from a manifest, the registry as plain data::

    TaskStack(app, "Shop", manifest="tasks.json")

or construct by construct::

    emails = TaskQueue(stack, "emails", queue_name="shop-emails")
    LambdaWorker(stack, "emails-worker", task_queue=emails, app="shop.tasks:env")
"""

from __future__ import annotations
