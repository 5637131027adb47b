"""The model of Amazon SQS: plain data and rules, no input or output, no thread and no event loop.

:class:`~sqs_tasks.local.model.service.Service` is the way in. One caller at a time may use it; the doors
(:mod:`sqs_tasks.local.memory` by a lock, :mod:`sqs_tasks.local.server` by an event loop) see to that.
"""

from __future__ import annotations
