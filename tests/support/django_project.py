"""The one Django project of a test process, since Django is set up once."""

from __future__ import annotations

import django
from django.conf import settings

#: The backend under test.
BACKEND = "sqs_tasks.integrations.django.task_backend.SQSBackend"


def configure() -> None:
    """Set Django up, unless another test has."""
    if settings.configured:
        return
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "sqs_tasks.integrations.django",
            "sqs_tasks.integrations.django_outbox",
            "tests.support.django_shop",
        ],
        SQS_TASKS={"APP": "tests.support.django_shop.sqs:env"},
        TASKS={
            "default": {"BACKEND": BACKEND, "QUEUES": ["default", "emails", "recorded"]},
            "anywhere": {
                "BACKEND": BACKEND,
                "QUEUES": [],
                "OPTIONS": {"APP": "tests.support.django_shop.sqs:env"},
            },
        },
    )
    django.setup()
