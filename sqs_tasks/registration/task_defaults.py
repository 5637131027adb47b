"""Options that tasks have unless they say otherwise: ``task_defaults`` of a queue and of the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from sqs_tasks.errors import ConfigurationError

#: What belongs to one task.
_OF_ONE_TASK: Final = ("aliases", "schedule")


def check_defaults(
    defaults: Mapping[str, Any], label: str, *, known: Iterable[str], check: Callable[..., object]
) -> None:
    """Refuse defaults that no task could have.

    Args:
        defaults: The options by name.
        label: Whose they are, for the error.
        known: The options that there are.
        check: Makes a task's settings of them, and so checks their values.

    Raises:
        ConfigurationError: One is unknown, belongs to one task, or has a value that cannot work.
    """
    allowed = sorted(set(known) - {"name", *_OF_ONE_TASK})
    wrong = [name for name in defaults if name not in allowed]
    if wrong:
        why = "belongs to one task" if wrong[0] in _OF_ONE_TASK else "is no option of tasks"
        raise ConfigurationError(
            f"{label}: task_defaults has {wrong[0]!r}, which {why}; it may have {', '.join(allowed)}"
        )
    try:
        check(name="task_defaults", **defaults)
    except ConfigurationError as error:
        raise ConfigurationError(f"{label}: {error}") from None
