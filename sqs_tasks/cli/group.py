"""The command group: its commands are imported when they are used, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click

from sqs_tasks.__version__ import __version__
from sqs_tasks.cli.aws_errors import aws_sentence, is_from_aws
from sqs_tasks.errors import SQSTasksError


class _Place(NamedTuple):
    """The module of a command, and its line in the overview."""

    module: str
    name: str
    summary: str


_COMMANDS = {
    "dev": _Place("sqs_tasks.cli.dev.command", "dev", "Run an application here: SQS, queues, worker, reload."),
    "worker": _Place("sqs_tasks.cli.worker", "worker", "Run the jobs of an application's queues."),
    "send": _Place("sqs_tasks.cli.send", "send", "Add jobs to a queue."),
    "queues": _Place(
        "sqs_tasks.cli.queues", "queues", "List, watch, create, purge and pause queues; redrive dead letters."
    ),
    "cost": _Place("sqs_tasks.cli.cost", "cost", "Estimate what an application costs in a month."),
    "doctor": _Place("sqs_tasks.cli.doctor", "doctor", "Find what is wrong, why it matters, and the fix."),
    "dead": _Place("sqs_tasks.cli.dead.command", "dead", "Find, understand, retry, edit and drop dead letters."),
    "schedules": _Place(
        "sqs_tasks.cli.schedules.command", "schedules", "See, deploy and run an application's schedules."
    ),
    "outbox": _Place("sqs_tasks.cli.outbox.command", "outbox", "Send the jobs that a database keeps, and see them."),
    "manifest": _Place("sqs_tasks.cli.manifest", "manifest", "Print the registry as JSON, for CDK, Terraform or SAM."),
    "diff": _Place("sqs_tasks.cli.diff", "diff", "Compare the registry with what is deployed."),
    "plan": _Place("sqs_tasks.cli.plan", "plan", "Print what an application needs when it is deployed."),
    "render": _Place("sqs_tasks.cli.render", "render", "Write a template of CloudFormation, AWS SAM or Terraform."),
    "bundle": _Place("sqs_tasks.cli.bundle", "bundle", "Write the code of Lambda functions to a zip file."),
    "check": _Place("sqs_tasks.cli.check", "check", "Check CloudFormation templates, ours or not, by the rules."),
    "canary": _Place(
        "sqs_tasks.cli.canary", "canary", "See that deployed workers receive, by a job that runs nothing."
    ),
    "iam": _Place("sqs_tasks.cli.iam", "iam", "Print the least permissions as an IAM policy."),
    "local-sqs": _Place("sqs_tasks.cli.local_sqs", "local_sqs", "Serve an SQS on this machine, in memory."),
    "invoke": _Place("sqs_tasks.cli.invoke", "invoke", "Run a Lambda handler against a queue, as Lambda would."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports the one that is used.

    It also turns what the library and AWS refuse into one line: a traceback does not help with a misspelt queue name.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the same in every context
        """The names, in the order of the overview."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(importlib.import_module(place.module), place.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what was refused on purpose becomes one line on standard error and exit code 1."""
        try:
            return super().invoke(ctx)
        except SQSTasksError as error:
            raise click.ClickException(str(error)) from error
        except Exception as error:
            if not is_from_aws(error):
                raise
            raise click.ClickException(aws_sentence(error)) from error


EPILOG = """\b
A first look, without AWS:
  $ sqs-tasks dev myapp.tasks:env                        # and in another terminal, with what it prints:
  $ sqs-tasks send myapp.tasks:env emails send_email to=a@example.com subject=Hi body=Hello

APP names the SQSEnv of an application as module:attribute; the current directory is searched too. It can be left out
if SQS_TASKS_APP is set.
"""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sqs-tasks")
def main() -> None:
    """Run, feed and provision task queues on Amazon SQS."""
