"""The model of Amazon SQS: plain data and rules, no input or output, no thread and no event loop.

:class:`~sqs_tasks.local.model.service.Service` is the way in. One caller at a time may use it:
:mod:`sqs_tasks.local.memory` makes sure of that by a lock, :mod:`sqs_tasks.local.server` by an event loop.
"""

from __future__ import annotations
