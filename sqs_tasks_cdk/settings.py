"""Settings of constructs: each name is declared and documented once, in a ``TypedDict``, and checked here.

A construct takes ``**settings: Unpack[SomeSettings]``. Type checkers then know every name and type. Python itself does
not check keywords against a ``TypedDict``, so :func:`given` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from sqs_tasks_cdk.manifest_fields import nearest

_SettingsT = TypeVar("_SettingsT", bound=Mapping[str, Any])


def given(settings: _SettingsT, kind: type[Any], *, construct: str) -> _SettingsT:
    """The settings that have a value. None is the same as leaving a setting out.

    Args:
        settings: What a construct was called with.
        kind: The ``TypedDict`` that declares the names.
        construct: What the construct is called, for the error.

    Raises:
        TypeError: A name is not declared, as Python itself says of an unexpected keyword.
    """
    for name in settings:
        if name not in kind.__annotations__:
            raise TypeError(
                f"{construct} got an unexpected keyword argument {name!r}{nearest(name, kind.__annotations__)}"
            )
    return cast("_SettingsT", {name: value for name, value in settings.items() if value is not None})


def names_in(settings: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Which of these names a caller has set to something else than None or False, in the order of ``names``."""
    return [name for name in names if settings.get(name) not in (None, False)]
