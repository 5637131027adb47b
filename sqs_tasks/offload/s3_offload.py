"""Where large bodies go: the options of ``SQSEnv(offload=…)`` and ``env.queue(…, offload=…)``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError

#: The bucket that the stack has made.
BUCKET_VARIABLE: Final = "SQS_TASKS_OFFLOAD_BUCKET"

#: What Amazon's extended clients leave in a message. SQS bills by 64 KiB; beyond about 400 KiB S3 is cheaper.
ABOVE_BYTES: Final = 262_144

#: The most that is read of an object: what a compressed body may hold, too.
MAX_BYTES: Final = 16 * 1_048_576

#: An object of S3 that is put by one request is no larger.
_MOST_BYTES = 2**31 - 1

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.*'()/-]{0,512}")

#: Days between a send and the end of a dead letter: SQS keeps a message for 14 days at most, in each of two queues.
_DAYS_OF_DEAD_LETTERS = limits.MAX_RETENTION_SECONDS // 86_400


@dataclass(frozen=True, kw_only=True)
class S3Offload:
    """Bodies above a size travel as an object in S3, and the message points to it.

    Attributes:
        bucket: A bucket that is there already. None takes the one that the stack makes, from SQS_TASKS_OFFLOAD_BUCKET.
        above_bytes: Messages that are larger with their attributes, after compression, are offloaded; 0 offloads all.
        prefix: What the keys of the objects begin with. A pointer to another bucket, or to a key that begins
            otherwise, is not followed.
        max_bytes: The largest body that is sent, and that is read; a larger object is never loaded.
        expire_days: Days after which the lifecycle rule of the stack removes an object. It has to outlast the messages
            in the queue and in its dead-letter queue.
        remove_with_job: Remove the object when a container worker has deleted the message of a finished job. Those of
            Lambda and of dead letters are left to the rule.
        endpoint_url: Where S3 is; None leaves it to boto3, which reads AWS_ENDPOINT_URL_S3.
    """

    bucket: str | None = None
    above_bytes: int = ABOVE_BYTES
    prefix: str = ""
    max_bytes: int = MAX_BYTES
    expire_days: int = 30
    remove_with_job: bool = False
    endpoint_url: str | None = None

    def __post_init__(self) -> None:
        if self.bucket is not None and not _BUCKET.fullmatch(self.bucket):
            raise ConfigurationError(
                f"S3Offload: bucket={self.bucket!r} must be 3 to 63 lower-case letters, digits, '.' and '-'; leave it "
                "out for the bucket of the stack"
            )
        limits.check_number(self.above_bytes, "S3Offload: above_bytes", 0, limits.MAX_MESSAGE_BYTES, unit="bytes")
        limits.check_number(self.max_bytes, "S3Offload: max_bytes", 1024, _MOST_BYTES, unit="bytes")
        limits.check_number(self.expire_days, "S3Offload: expire_days", 1, 3650, unit="days")
        if not _PREFIX.fullmatch(self.prefix) or self.prefix.startswith("/"):
            raise ConfigurationError(
                f"S3Offload: prefix={self.prefix!r} must be letters, digits and !_.*'()/- and not begin with '/'; "
                "try prefix='reports/'"
            )

    def check_queue(self, queue_name: str, retention_seconds: int) -> None:
        """Refuse objects that may be removed before the messages that point to them.

        Raises:
            ConfigurationError: ``expire_days`` is less than the queue and its dead-letter queue keep a message.
        """
        least = -(-retention_seconds // 86_400) + _DAYS_OF_DEAD_LETTERS
        if self.expire_days < least:
            raise ConfigurationError(
                f"queue {queue_name!r}: S3Offload(expire_days={self.expire_days}) removes bodies while their messages "
                f"may still be there: {retention_seconds} s in the queue and {_DAYS_OF_DEAD_LETTERS} days in its "
                f"dead-letter queue; at least {least} are needed"
            )

    def bucket_name(self, variables: Mapping[str, str]) -> str:
        """The bucket: that of the code, or that of the stack.

        Args:
            variables: The process's environment.

        Raises:
            ConfigurationError: Nobody says which.
        """
        name = self.bucket or variables.get(BUCKET_VARIABLE)
        if not name:
            raise ConfigurationError(
                f"no bucket for large bodies is known; set {BUCKET_VARIABLE}, as the stack does, or pass "
                "S3Offload(bucket='shop-payloads')"
            )
        return name
