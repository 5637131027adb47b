"""The `sqs-tasks` command."""
