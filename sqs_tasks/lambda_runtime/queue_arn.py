"""Queue ARNs: in every partition, with digits, hyphens and ``.fifo`` in the name (S5)."""

from __future__ import annotations

from dataclasses import dataclass

from sqs_tasks.errors import ConfigurationError

_PARTS = 6


@dataclass(frozen=True, slots=True)
class QueueArn:
    """The parts of ``arn:aws:sqs:eu-west-1:123456789012:emails.fifo``."""

    partition: str
    region: str
    account_id: str
    queue_name: str

    @classmethod
    def parse(cls, text: str) -> QueueArn:
        """The parts of an ARN.

        Raises:
            ConfigurationError: It is not the ARN of a queue.
        """
        parts = text.split(":") if isinstance(text, str) else []
        if len(parts) != _PARTS or parts[0] != "arn" or parts[2] != "sqs" or not parts[5]:
            raise ConfigurationError(
                f"{text!r} is not the ARN of an SQS queue, like arn:aws:sqs:eu-west-1:123456789012:emails"
            )
        return cls(partition=parts[1], region=parts[3], account_id=parts[4], queue_name=parts[5])

    def __str__(self) -> str:
        return f"arn:{self.partition}:sqs:{self.region}:{self.account_id}:{self.queue_name}"

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self.queue_name.endswith(".fifo")
