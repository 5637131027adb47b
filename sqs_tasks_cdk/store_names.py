"""What the table of the store is called, and what is done with it; needs no CDK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqs_tasks_cdk.manifest_fields import Fields

#: Where a process finds the name of the table.
TABLE_VARIABLE: Final = "SQS_TASKS_STORE_TABLE"

#: What a worker does with the table of its tasks; and what a producer does that sends recorded jobs and looks at them.
WORK_ACTIONS: Final = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
RECORD_ACTIONS: Final = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")

#: The table's key, and the attribute of its time to live.
KEY: Final = "pk"
EXPIRES: Final = "expires_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestStore:
    """What the tasks of a queue are remembered in.

    Attributes:
        table: The name or ARN of a table that is there already; None for the one of the stack.
        records: Whether a job is recorded when it is sent, so that producers use the table too.
    """

    table: str | None
    records: bool

    @classmethod
    def read(cls, fields: Fields) -> ManifestStore | None:
        """That of a queue; None if its tasks ask for nothing."""
        store = fields.optional_object("store", absent=True)
        if store is None:
            return None
        read = cls(table=store.optional_text("table"), records=store.boolean("records"))
        store.close()
        return read


def table_name(queue_prefix: str) -> str:
    """The name of the table in a stack, which other stacks of the account and region know without a reference."""
    return f"{queue_prefix}store"


def table_arn(store: ManifestStore, queue_prefix: str, *, partition: str, region: str, account: str) -> str:
    """The ARN of a queue's table."""
    table = store.table or table_name(queue_prefix)
    return table if table.startswith("arn:") else f"arn:{partition}:dynamodb:{region}:{account}:table/{table}"
