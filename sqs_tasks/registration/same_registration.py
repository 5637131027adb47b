"""Whether a later call for a queue says what its registration said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqs_tasks.errors import ConfigurationError


def check_same_registration(queue_name: str, made: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse to hand out a queue to a call that says something else of it than its registration did.

    Args:
        queue_name: The queue's name in code.
        made: The keywords that it was registered with.
        asked: Those of the later call.

    Raises:
        ConfigurationError: They differ; the text has both.
    """
    if all(name in made and _is_same(value, made[name]) for name, value in asked.items()):
        return
    fix = f"register it in one place and ask for env.queue({queue_name!r})"
    if asked.get("queue_url", made.get("queue_url")) != made.get("queue_url"):
        fix += f"; another queue needs its own name: env.queue('{queue_name}-2', queue_url=...)"
    first, later = (", ".join(f"{name}={value!r}" for name, value in one.items()) or "nothing" for one in (made, asked))
    raise ConfigurationError(
        f"queue {queue_name!r} is already registered with other options ({first}); this call has {later}; {fix}"
    )


def _is_same(new: Any, old: Any) -> bool:
    # Two partials of one maker are equal in what they make, not as objects.
    if hasattr(new, "func") and hasattr(old, "func"):
        return (new.func, new.args, new.keywords) == (old.func, old.args, old.keywords)
    return bool(new == old)
