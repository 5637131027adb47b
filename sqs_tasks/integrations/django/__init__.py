"""Django: tasks of installed apps, connections kept clean, commands, checks, and a backend for ``django.tasks``.

::

    # shop/sqs.py, named by SQS_TASKS = {"APP": "shop.sqs:env"} in the settings
    from sqs_tasks import SQSEnv
    from sqs_tasks.integrations.django import autodiscover, database_connections
    from sqs_tasks.transactions import OnCommit

    env = SQSEnv(queue_prefix="shop-", include=autodiscover(), middleware=[database_connections], send=OnCommit())

With ``"sqs_tasks.integrations.django"`` in INSTALLED_APPS, ``manage.py`` has ``sqs_worker`` and ``sqs_dev``, and its
checks read the settings. The backend for TASKS is :class:`.task_backend.SQSBackend`.
"""

from __future__ import annotations

from sqs_tasks.integrations.django.app_modules import autodiscover
from sqs_tasks.integrations.django.connections import database_connections

__all__ = ["autodiscover", "database_connections"]
