"""The program of a child: loads the application, creates its queues and runs their jobs."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import Any

import click

from sqs_tasks.cli.app import load, names_nothing
from sqs_tasks.cli.aws_errors import aws_sentence, is_from_aws
from sqs_tasks.cli.dev import debugger, schedules
from sqs_tasks.cli.dev.child_logs import after_application, log_to_session
from sqs_tasks.cli.dev.child_options import ChildOptions
from sqs_tasks.cli.dev.event_sources import run_event_sources
from sqs_tasks.cli.worked_queues import queues_to_work
from sqs_tasks.cli.worker import worker
from sqs_tasks.errors import SQSTasksError
from sqs_tasks.generic_queue import GenericQueue

logger = logging.getLogger("sqs_tasks.cli.dev.child")

#: Seconds of one long poll: a restart waits for the poll in flight.
POLL_SECONDS = 1


def main(text: str) -> int:
    """Run the application of these options until SIGTERM; the exit code."""
    options = ChildOptions.from_json(text)
    log_to_session(options.log_level)
    debugger.install()
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            env = load(options.app)
        sys.stderr.write(heard.getvalue())
        after_application(env, options.log_level)
        queues = queues_to_work(env, options.queues, options.app)
        env.create_queues()
        _report_queues(queues)
        if schedules.is_session_of_dev():
            schedules.run_schedules(env, options.app)
        if options.runtime == "lambda":
            run_event_sources(env, queues, options, poll_seconds=POLL_SECONDS)
        else:
            _work(options)
    except click.UsageError as error:
        return _refused(error.format_message(), arguments_exit_code=error.exit_code)
    except click.ClickException as error:
        return _refused(error.format_message(), exception=heard.getvalue())
    except SQSTasksError as error:
        return _refused(str(error), arguments_exit_code=1 if names_nothing(error) else None)
    except Exception as error:
        if not is_from_aws(error):
            raise
        return _refused(aws_sentence(error))
    return 0


def _work(options: ChildOptions) -> None:
    """What a container would run: the command ``sqs-tasks worker``."""
    words = [
        *(options.app, *options.queues),
        *("--concurrency", str(options.concurrency)),
        *("--wait-seconds", str(POLL_SECONDS)),
        *("--grace-seconds", str(options.grace_seconds)),
        *("--log-level", options.log_level),
        *("--log-format", "json"),
    ]
    worker.main(words, prog_name="sqs-tasks worker", standalone_mode=False)


def _report_queues(queues: list[GenericQueue]) -> None:
    places = [
        {
            "name": queue.name,
            "url": queue.queue_url,
            "dead_letter_url": queue.dead_letter_queue_url() if queue.settings.dead_letter_queue is not None else None,
        }
        for queue in queues
    ]
    logger.info(
        "loaded; queues: %s",
        ", ".join(queue.get_sqs_queue_name() for queue in queues),
        extra={"action": "dev_loaded", "queues": places},
    )


def _refused(message: str, *, exception: str = "", arguments_exit_code: int | None = None) -> int:
    """Report why nothing runs, with an exit code if the arguments are the reason and no change of a file would help."""
    extra: dict[str, Any] = {"action": "dev_not_loaded"}
    if exception:
        extra["exception"] = exception
    if arguments_exit_code is not None:
        extra["arguments_exit_code"] = arguments_exit_code
    logger.error("%s", message, extra=extra)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
