"""``sqs-tasks outbox``: the jobs that a database keeps until they are sent."""
