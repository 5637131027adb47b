"""Powertools for AWS Lambda: logs, metrics and traces of a function's jobs (``pip install sqs-tasks[powertools]``).

::

    from sqs_tasks.aws_lambda import SQSEventHandler
    from sqs_tasks.integrations.powertools import instrument

    handler = instrument(SQSEventHandler(env))

Beside it, imported by those who use them: :mod:`.record_handler` for functions that have a BatchProcessor already, and
:mod:`.idempotency`.
"""

from __future__ import annotations

from sqs_tasks.integrations.powertools.telemetry import instrument

__all__ = ["instrument"]
