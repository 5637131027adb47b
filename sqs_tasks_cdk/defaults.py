"""What a worker gets when nobody says: for the constructs and for those without the CDK."""

from __future__ import annotations

from typing import Final

#: The entry point of functions: inside our package, where no module of an application can take its name.
HANDLER: Final = "sqs_tasks.lambda_handler.handler"

#: Megabytes of a function. boto3 alone takes 34, and CPU comes in proportion.
DEFAULT_MEMORY_SIZE: Final = 512

#: Megabytes that a function on Lambda Managed Instances has at least, and by default.
MIN_MANAGED_MEMORY_SIZE: Final = 2_048

#: Jobs that a container runs at once.
DEFAULT_CONCURRENCY: Final = 10

#: Where a container answers whether it is alive.
DEFAULT_HEALTH_PORT: Final = 8080

#: Seconds between the end of a container's grace period and SIGKILL: what is left is released meanwhile (E5).
RELEASE_SECONDS: Final = 5

#: From which level on workers log.
DEFAULT_LOG_LEVEL: Final = "INFO"

#: Seconds for which a dead-letter queue keeps messages: as long as SQS allows (S44).
DEAD_LETTER_RETENTION_SECONDS: Final = 1_209_600

#: Days for which logs are kept.
LOG_RETENTION_DAYS: Final = 30
