"""``sqs-tasks schedules``: the schedules of an application, looked at, deployed and run."""
