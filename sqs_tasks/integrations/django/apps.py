"""The app, for INSTALLED_APPS: it has commands and checks, and no table."""

from __future__ import annotations

from django.apps import AppConfig


class SQSTasksConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """``"sqs_tasks.integrations.django"`` in INSTALLED_APPS."""

    name = "sqs_tasks.integrations.django"
    label = "sqs_tasks"
    verbose_name = "sqs_tasks"

    def ready(self) -> None:
        """Register the checks."""
        from sqs_tasks.integrations.django import checks

        checks.install()
