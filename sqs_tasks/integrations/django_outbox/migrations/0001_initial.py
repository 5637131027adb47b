"""Makes the table and its indexes."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]  # Django has no types
    """A migration never changes: the names and sizes are written out here."""

    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("queue_name", models.CharField(max_length=255)),
                ("group_id", models.CharField(max_length=128, null=True)),
                ("job_name", models.TextField()),
                ("job_id", models.TextField()),
                ("message", models.TextField()),
                ("created_ms", models.BigIntegerField()),
                ("due_ms", models.BigIntegerField(null=True)),
                ("ready_ms", models.BigIntegerField()),
                ("attempts", models.IntegerField(db_default=0, default=0)),
                ("error", models.TextField(db_default="", default="")),
                ("refused_ms", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "sqs_tasks_outbox",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["queue_name", "ready_ms", "id"], name="sqs_tasks_outbox_ready"),
                    models.Index(fields=["queue_name", "group_id", "id"], name="sqs_tasks_outbox_group"),
                ],
            },
        ),
    ]
