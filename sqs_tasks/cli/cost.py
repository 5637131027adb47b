"""``sqs-tasks cost``: what an application costs in a month."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from sqs_tasks.app_path import APP_VARIABLE
from sqs_tasks.cli.app import load, split_app
from sqs_tasks.cli.options import option
from sqs_tasks.cli.table import Table
from sqs_tasks.operations.cost import Load, Prices, estimate
from sqs_tasks.operations.cost.estimate import as_rows

EPILOG = """\b
Examples:
  $ sqs-tasks cost myapp.tasks:env --jobs-per-month 1000000
  $ sqs-tasks cost myapp.tasks:env --jobs-per-month 1e6 --jobs send_email=200000 --seconds 0.1 --seconds report=40
  $ sqs-tasks cost myapp.tasks:env --jobs-per-month 1e6 --json | jq .dollars

It asks AWS nothing. The prices lie in a file with their date; --prices names another one.
"""


@click.command("cost", epilog=EPILOG)
@click.argument("app", required=False, envvar=APP_VARIABLE)
@click.option(
    "--jobs-per-month",
    required=True,
    type=click.FloatRange(min=0),
    help="All jobs, shared by the tasks of the registry.",
)
@click.option("--jobs", multiple=True, metavar="TASK=NUMBER", help="Jobs a month of one task; repeatable.")
@click.option("--seconds", multiple=True, metavar="[TASK=]NUMBER", help="How long a job runs; 0.2 s unless given.")
@option("--memory", "memory_mib", type=click.IntRange(min=128), default=512, help="MiB of a function.")
@option("--jobs-per-request", type=click.FloatRange(1, 10), default=1.0, help="Jobs in one send, receive and delete.")
@option("--vcpus", type=click.FloatRange(min=0.25), default=0.25, help="Of one container.")
@option("--container-memory", "container_mib", type=click.IntRange(min=512), default=512, help="MiB of one container.")
@option("--concurrency", type=click.IntRange(min=1), default=10, help="Jobs that one container runs at once.")
@click.option("--prices", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of other prices.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def cost(
    *,
    app: str | None,
    jobs_per_month: float,
    jobs: Sequence[str],
    seconds: Sequence[str],
    memory_mib: int,
    jobs_per_request: float,
    vcpus: float,
    container_mib: int,
    concurrency: int,
    prices: Path | None,
    as_json: bool,
) -> None:
    """Estimate what APP costs in a month, with the assumptions."""
    env = load(split_app([app] if app else [])[0])
    by_task = _numbers(seconds, "--seconds")
    found = estimate(
        env,
        Load(
            jobs=jobs_per_month,
            jobs_of=_numbers(jobs, "--jobs"),
            seconds=by_task.pop("", 0.2),
            seconds_of=by_task,
            memory_mib=memory_mib,
            jobs_per_request=jobs_per_request,
            vcpus=vcpus,
            container_mib=container_mib,
            concurrency=concurrency,
        ),
        Prices.read() if prices is None else Prices.read(prices),
    )
    if as_json:
        report = {"dollars": round(found.dollars, 2), "lines": as_rows(found), "assumptions": found.assumptions}
        click.echo(json.dumps(report, indent=2))
        return
    table = Table(("what", "of", "quantity", "unit", "$ a month"), texts=2)
    for line in found.lines:
        table.add(line.what, line.of, f"{line.quantity:,.0f}", line.unit, f"{line.dollars:,.2f}")
    table.add("all", "", "", "", f"{found.dollars:,.2f}")
    table.print()
    click.echo("\nassumptions:")
    for one in found.assumptions:
        click.echo(f"  {one}")


def _numbers(words: Sequence[str], name: str) -> dict[str, float]:
    """Numbers by task; under the empty name the one for all others."""
    numbers: dict[str, float] = {}
    for word in words:
        task, _, text = word.rpartition("=")
        try:
            numbers[task] = float(text)
        except ValueError:
            raise click.UsageError(f"{name} {word!r} must be a number, or TASK=NUMBER such as report=40") from None
        if not numbers[task] >= 0 or (name == "--jobs" and not task):
            raise click.UsageError(f"{name} {word!r} must be TASK=NUMBER, with a number of 0 or more")
    return numbers
