"""The table, as :mod:`sqs_tasks.transactions.outbox.schema` has it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from sqs_tasks.transactions.outbox.schema import GROUP_ID_CHARS, GROUP_INDEX, QUEUE_NAME_CHARS, READY_INDEX, TABLE


class OutboxRow(models.Model):  # type: ignore[misc]  # Django has no types
    """A job that waits for a relay."""

    id = models.BigAutoField(primary_key=True)
    queue_name = models.CharField(max_length=QUEUE_NAME_CHARS)
    group_id = models.CharField(max_length=GROUP_ID_CHARS, null=True)  # noqa: DJ001 - only FIFO queues have groups
    job_name = models.TextField()
    job_id = models.TextField()
    message = models.TextField()
    created_ms = models.BigIntegerField()
    due_ms = models.BigIntegerField(null=True)
    ready_ms = models.BigIntegerField()
    attempts = models.IntegerField(default=0, db_default=0)
    error = models.TextField(default="", db_default="")
    refused_ms = models.BigIntegerField(null=True)

    class Meta:
        """The names that the relay knows; no permissions, since no view is about it."""

        db_table = TABLE
        default_permissions = ()
        indexes: ClassVar = [
            models.Index(fields=["queue_name", "ready_ms", "id"], name=READY_INDEX),
            models.Index(fields=["queue_name", "group_id", "id"], name=GROUP_INDEX),
        ]

    def __str__(self) -> str:
        return f"{self.job_name or 'message'} for {self.queue_name}"
