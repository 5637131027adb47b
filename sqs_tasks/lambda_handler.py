"""The entry point of a deployed function: ``sqs_tasks.lambda_handler.handler``; ``SQS_TASKS_APP`` names its registry.

It lies inside the package, so that no module of an application can take its name.

The registry is loaded when the function starts, so one that cannot be loaded fails there, with its own traceback in the
log, and not once for every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqs_tasks.app_path import load_app
from sqs_tasks.aws_lambda import SQSEventHandler


def make_handler() -> Callable[[Any, Any], Any]:
    """The handler of the environment that SQS_TASKS_APP names, with Powertools' telemetry if that is installed.

    Raises:
        ConfigurationError: SQS_TASKS_APP names none.
    """
    plain = SQSEventHandler(load_app())
    try:
        from sqs_tasks.integrations.powertools import instrument
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "aws_lambda_powertools":
            raise
        return plain
    return instrument(plain)


handler = make_handler()
