"""``sqs-tasks dev``: an SQS, the queues, a worker and a watch on the sources, in one terminal."""
