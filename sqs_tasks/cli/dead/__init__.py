"""``sqs-tasks dead``: dead letters found, understood, retried, edited, dropped and kept."""
