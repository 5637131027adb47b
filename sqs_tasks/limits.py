"""The numbers of Amazon SQS that this library checks before SQS does.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from __future__ import annotations

#: Entries in one SendMessageBatch, DeleteMessageBatch or ChangeMessageVisibilityBatch, and messages in one receive.
MAX_BATCH_ENTRIES = 10

#: Bytes of one message, and of one whole SendMessageBatch: UTF-8, message attributes counted (S38).
MAX_MESSAGE_BYTES = 1_048_576

#: Message attributes on one message.
MAX_MESSAGE_ATTRIBUTES = 10

#: Seconds that SendMessage can hold a message back.
MAX_DELAY_SECONDS = 900

#: Seconds from a receive during which visibility may still be extended: 12 hours (S20).
MAX_VISIBILITY_SECONDS = 43_200

#: Seconds one ReceiveMessage can wait for a message.
MAX_WAIT_SECONDS = 20

#: Seconds a queue keeps a message: one minute to fourteen days.
MIN_RETENTION_SECONDS, MAX_RETENTION_SECONDS = 60, 1_209_600

#: Seconds a queue keeps a message unless told otherwise: four days.
DEFAULT_RETENTION_SECONDS = 345_600

#: Deliveries before SQS moves a message to the dead-letter queue.
MAX_RECEIVE_COUNT = 1_000

#: Characters of a queue name, the ".fifo" suffix included (R7).
MAX_QUEUE_NAME_CHARS = 80

#: Characters of a message group id and of a deduplication id (R7).
MAX_GROUP_ID_CHARS = 128
