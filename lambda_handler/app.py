"""The same entry point as a file of its own, for those who copy it: the handler is ``app.handler``.

The stack does not use it. Its functions name :mod:`sqs_tasks.lambda_handler`, which no module of an application hides.
"""

from __future__ import annotations

from sqs_tasks.lambda_handler import handler

__all__ = ["handler"]
