"""Names of resources in a template, made of the names of queues: a queue's stays, whatever else there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sqs_tasks.errors import ConfigurationError


def camel(name: str) -> str:
    """A logical id of CloudFormation: ``send-emails.fifo`` becomes ``SendEmailsFifo``."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", name))


def snake(name: str) -> str:
    """A name of Terraform: ``send-emails.fifo`` becomes ``send_emails_fifo``."""
    text = re.sub(r"[^A-Za-z0-9]+", "_", name)
    return text if text[:1].isalpha() or text[:1] == "_" else f"_{text}"


def ids(names: Iterable[str], make: Callable[[str], str], *, what: str) -> dict[str, str]:
    """The ids of things by their names.

    Raises:
        ConfigurationError: Two come to the same id; a number behind one of them would change with their order, and
            another id is another queue.
    """
    found: dict[str, str] = {}
    by_id: dict[str, str] = {}
    for name in names:
        made = make(name)
        if made in by_id and by_id[made] != name:
            raise ConfigurationError(
                f"{what} {by_id[made]!r} and {name!r} would both be {made!r} in the template; ids have letters and "
                "digits alone: give one of them a name that differs in these, or deploy with the CDK"
            )
        by_id[made] = name
        found[name] = made
    return found
