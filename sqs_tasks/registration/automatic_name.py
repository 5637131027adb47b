"""The name of a task that is registered without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqs_tasks.errors import ConfigurationError


def automatic_name(fn: Callable[..., Any]) -> str:
    """``module.function``, for tasks registered without a name.

    Raises:
        ConfigurationError: The function has no lasting address: it is local, a lambda, or in ``__main__`` (fault Q6).
    """
    module, name = getattr(fn, "__module__", "?"), getattr(fn, "__qualname__", repr(fn))
    if module == "__main__" or "<" in name:
        raise ConfigurationError(f"{module}.{name} has no lasting address to be named after; give the task a name")
    return f"{module}.{name}"
