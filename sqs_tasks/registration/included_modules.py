"""The modules that register tasks, by name: ``SQSEnv(include=["shop.tasks", "billing.*"])``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from sqs_tasks.errors import ConfigurationError


def import_modules(patterns: Sequence[str]) -> list[str]:
    """Import modules, in the order of the patterns, and return their names.

    Args:
        patterns: Names of modules. A ``*`` stands for one part of a name, or a piece of it: ``billing.*`` are the
            modules of the package ``billing``, ``*.tasks`` is not allowed.

    Raises:
        ConfigurationError: There is no such module, or nothing matches a pattern. What a module itself raises while it
            is imported is raised as it is.
    """
    names: dict[str, None] = {}
    for pattern in _checked(patterns):
        found = list(_names(pattern)) if "*" in pattern else [pattern]
        if not found:
            raise ConfigurationError(
                f"include={pattern!r} matches no module, so it registers no task; correct it, or leave it out"
            )
        names.update(dict.fromkeys(found))
    for name in names:
        _import(name)
    return list(names)


def _checked(patterns: object) -> tuple[str, ...]:
    """The names of modules, checked as far as that is possible without importing them.

    Raises:
        ConfigurationError: It is no list of names, or one has no package that could be searched.
    """
    listed = () if isinstance(patterns, str) or not isinstance(patterns, Sequence) else tuple(patterns)
    wrong = [one for one in listed if not isinstance(one, str) or not one or "*" in one.partition(".")[0]]
    if not listed or wrong:
        raise ConfigurationError(
            f"include={patterns!r} must be a list of names of modules, each with its package in full; "
            'try include=["shop.tasks", "billing.*"]'
        )
    return listed


def _names(pattern: str) -> Iterator[str]:
    """The names of modules that match, sorted; packages on the way to them are imported."""
    before, _, rest = pattern.partition("*")
    package, _, start = before.rpartition(".")
    part, *deeper = (start + "*" + rest).split(".")
    found = pkgutil.iter_modules(getattr(_import(package), "__path__", ()))
    for name in sorted(one.name for one in found if one.ispkg or not deeper):
        if not fnmatchcase(name, part):
            continue
        full = f"{package}.{name}"
        if not deeper:
            yield full
        elif any("*" in one for one in deeper):
            yield from _names(".".join((full, *deeper)))
        elif _exists(full, deeper):
            yield ".".join((full, *deeper))


def _exists(package: str, parts: Sequence[str]) -> bool:
    for part in parts:
        path = getattr(_import(package), "__path__", ())
        if part not in {one.name for one in pkgutil.iter_modules(path)}:
            return False
        package = f"{package}.{part}"
    return True


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Missing itself, or does its own import fail? The second is the author's to see as it is.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"include has {name!r}, and there is no module {error.name!r}; correct the name, or set PYTHONPATH"
        ) from error
