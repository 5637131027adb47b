"""The program of a child of ``sqs-tasks worker --isolate process``: loads the application and runs jobs."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from typing import cast

import click

from sqs_tasks.cli.app import load
from sqs_tasks.cli.logs import after_application, configure_logging
from sqs_tasks.cli.options import LogFormat
from sqs_tasks.errors import SQSTasksError
from sqs_tasks.execution.life import started
from sqs_tasks.execution.running_job import add_job_fields
from sqs_tasks.loggers import all_handlers
from sqs_tasks.worker.children.child import DESCRIPTOR_VARIABLE
from sqs_tasks.worker.children.frames import Frames
from sqs_tasks.worker.children.serving import JobServer, end_with_parent, ignore_signals


def command_of(app: str, queue_names: Sequence[str], log_level: str, log_format: LogFormat) -> list[str]:
    """The command that starts a child."""
    options = {"app": app, "queues": list(queue_names), "log_level": log_level, "log_format": log_format}
    return [sys.executable, "-m", __name__, json.dumps(options)]


def main(text: str) -> int:
    """Run jobs until the worker says stop or is gone; the exit code."""
    options = json.loads(text)
    descriptor = int(os.environ.pop(DESCRIPTOR_VARIABLE))
    # Not for what the application starts.
    os.set_inheritable(descriptor, False)
    frames = Frames(socket.socket(fileno=descriptor))
    end_with_parent()
    ignore_signals()
    level, log_format = str(options["log_level"]).upper(), cast("LogFormat", options["log_format"])
    configure_logging(level, log_format)
    try:
        env = load(str(options["app"]))
        after_application(level, log_format)
        queues = {queue.name: queue for queue in env.select_queues(*options["queues"])}
    except click.ClickException as error:
        error.show()
        return 1
    except SQSTasksError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    with started(env):
        add_job_fields(all_handlers())  # on_start may have set up logging
        JobServer(frames, queues).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
