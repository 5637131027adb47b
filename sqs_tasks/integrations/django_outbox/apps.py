"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Its label is that of its one table."""

    name = "sqs_tasks.integrations.django_outbox"
    label = "sqs_tasks_outbox"
    verbose_name = "Outbox of SQS tasks"
    default_auto_field = "django.db.models.BigAutoField"
