"""``manage.py sqs_worker``: the container runtime."""

from __future__ import annotations

from sqs_tasks.integrations.django.management.click_command import ClickCommand


class Command(ClickCommand):
    """As ``sqs-tasks worker``, for the environment of the settings."""

    help = "Run the jobs of the queues of SQS_TASKS['APP'] until it is asked to stop; QUEUE chooses some of them."
    name = "worker"
