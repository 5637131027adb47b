"""Rows of the outbox through a database of Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps

from sqs_tasks.errors import ConfigurationError

#: The app with the model and its migration, and its label.
APP, LABEL, MODEL = "sqs_tasks.integrations.django_outbox", "sqs_tasks_outbox", "OutboxRow"


def insert(target: object, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows into the transaction of a database; without an open one they are committed at once.

    Raises:
        ConfigurationError: The app is not installed.
    """
    alias = target if isinstance(target, str) else getattr(target, "alias", "default")
    try:
        model: Any = apps.get_model(LABEL, MODEL)
    except LookupError as error:
        raise ConfigurationError(
            f"outbox={alias!r} is a database of Django, and the app with the table of the outbox is not installed; "
            f"add {APP!r} to INSTALLED_APPS and run 'manage.py migrate'"
        ) from error
    model.objects.using(alias).bulk_create([model(**values) for values in rows])
