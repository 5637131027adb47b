"""A small application and its tests: what sqs_tasks offers for testing, by example."""
