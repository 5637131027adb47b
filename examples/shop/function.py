"""The shop's Lambda function: its handler is ``shop.function.handler``, and it serves every queue wired to it."""

from __future__ import annotations

from sqs_tasks.aws_lambda import SQSEventHandler

from .tasks import env

handler = SQSEventHandler(env)
