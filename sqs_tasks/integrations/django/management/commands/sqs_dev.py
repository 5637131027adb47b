"""``manage.py sqs_dev``: an SQS, the queues, a worker and a watch on the sources, in one terminal."""

from __future__ import annotations

from sqs_tasks.integrations.django.management.click_command import ClickCommand


class Command(ClickCommand):
    """As ``sqs-tasks dev``, for the environment of the settings."""

    help = "Run SQS_TASKS['APP'] on this machine: an SQS, its queues, and a worker that restarts when you save."
    name = "dev"
