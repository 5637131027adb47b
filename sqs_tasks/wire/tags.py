"""The tags that mark richer values in the JSON of a message; see :mod:`sqs_tasks.wire.json_values`."""

from __future__ import annotations

from typing import Any, Final

#: By tag: the JSON type of its content.
TAGS: Final[dict[str, type[Any]]] = {
    "$datetime": str,
    "$date": str,
    "$time": str,
    "$timedelta": str,
    "$decimal": str,
    "$uuid": str,
    "$bytes": str,
    "$float": str,
    "$tuple": list,
    "$set": list,
    "$frozenset": list,
    "$dict": list,
    "$enum": list,
    "$dataclass": list,
}

#: Levels of lists, dictionaries and other containers within one value. A value that contains itself ends here too.
MAX_DEPTH: Final = 100


def is_tag(value: dict[str, Any]) -> bool:
    """Whether this JSON dictionary is read as a tag; asked of what is written and of what is read, so they agree.

    The inner tags of a dictionary being read are values by now. None of them is exactly a list or a str, so the answer
    is that for its JSON.
    """
    if len(value) != 1:
        return False
    ((key, content),) = value.items()
    return type(content) is TAGS.get(key)
