"""What one invocation of a Lambda function consists of; :mod:`sqs_tasks.aws_lambda` is its door."""
