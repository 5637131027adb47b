"""The options of commands that run the event source simulator: which faults it injects."""

from __future__ import annotations

from typing import Any

from sqs_tasks.cli.options import Command, Declaration, option
from sqs_tasks.local.function.fault_injection import Faults


def fault_options(*, only_with: str = "") -> Declaration[Any]:
    """``--fault`` and ``--seed``: what the event source simulator breaks on purpose.

    Args:
        only_with: Which other option they need, as the help's first words.
    """
    fault = option(
        "--fault",
        "faults",
        default="",
        show_default=False,
        metavar="SPEC",
        help=f"{only_with}Faults to inject, and how often: throttle=0.05,crash=0.01. "
        f"The faults are {', '.join(Faults())}.",
    )
    seed = option("--seed", help="Makes the faults repeatable.")

    def declare(command: Command) -> Command:
        fault(seed(command))  # click notes its options on the function and returns that
        return command

    return declare
