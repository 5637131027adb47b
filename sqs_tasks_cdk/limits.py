"""The numbers of SQS, Lambda and ECS that the constructs check before CloudFormation does.

``sqs_tasks.limits`` has the ones that the runtimes need. The two packages never import each other; one test compares
what both have, and both with botocore's service models.
"""

from __future__ import annotations

#: Seconds that a queue can keep a received message invisible: 12 hours (S20).
MAX_VISIBILITY_SECONDS = 43_200

#: Seconds that a queue can hold a new message back.
MAX_DELAY_SECONDS = 900

#: Seconds that a queue keeps a message: one minute to fourteen days.
MIN_RETENTION_SECONDS, MAX_RETENTION_SECONDS = 60, 1_209_600

#: Seconds for which a queue keeps a message by default: four days.
DEFAULT_RETENTION_SECONDS = 345_600

#: Deliveries before SQS moves a message to the dead-letter queue.
MAX_RECEIVE_COUNT = 1_000

#: Deliveries that leave room for throttled batches before a message is dead-lettered (S42).
MIN_LAMBDA_RECEIVE_COUNT = 5

#: Deliveries on top of ``max_attempts`` that are not attempts: throttles, deadlines, deploys (R3).
RECEIVE_HEADROOM = 3

#: Characters of a queue name, the ``.fifo`` suffix included (R7).
MAX_QUEUE_NAME_CHARS = 80

#: Characters of a function name and of a role name (R7).
MAX_FUNCTION_NAME_CHARS = MAX_ROLE_NAME_CHARS = 64

#: Sources that a dead-letter queue can name in its redrive allow policy (S45).
MAX_REDRIVE_SOURCES = 10

#: Seconds that a function is given when nobody says, as everywhere until 2026.
MAX_FUNCTION_SECONDS = 900

#: Seconds that a function can be given, and one on Lambda Managed Instances (Z1).
MAX_EXTENDED_FUNCTION_SECONDS, MAX_MANAGED_FUNCTION_SECONDS = 1_800, 5_400

#: Messages of one invocation without a batching window, and at all from a FIFO queue (S30, S32).
MAX_UNWINDOWED_BATCH = MAX_FIFO_BATCH = 10

#: Messages of one invocation with a batching window of at least a second (S32).
MAX_WINDOWED_BATCH = 10_000

#: Seconds of a batching window.
MAX_BATCHING_WINDOW_SECONDS = 300

#: Concurrent invocations that one event source mapping can be held to (S34).
MIN_MAPPING_CONCURRENCY, MAX_MAPPING_CONCURRENCY = 2, 1_000

#: Pollers of a provisioned event source mapping: the least, the most that can be kept, the most in all (S35).
MIN_POLLERS, MAX_MINIMUM_POLLERS, MAX_POLLERS = 2, 200, 10_000

#: Bytes of all environment variables of a function together.
MAX_FUNCTION_ENVIRONMENT_BYTES = 4_096

#: Messages in flight on one queue: beyond it a standard queue answers OverLimit and a FIFO queue nothing (S37).
MAX_IN_FLIGHT_MESSAGES = 120_000

#: Seconds between SIGTERM and SIGKILL that Fargate grants (E5, Z7).
MIN_STOP_TIMEOUT_SECONDS, MAX_STOP_TIMEOUT_SECONDS = 2, 120

#: Mebibytes of ephemeral storage of a function with SnapStart (P7).
MAX_SNAP_START_STORAGE_MEBIBYTES = 512
