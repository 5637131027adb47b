"""Django's tasks framework: ``django.tasks`` of Django 6.0, or the package django-tasks, its twin for older ones."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

#: What has to be installed where there is none of both.
NEEDS = (
    "the TASKS backend needs Django 6.0 or newer, which has django.tasks; for an older Django install the package "
    "django-tasks. Tasks that are registered by @queue.processor need neither"
)


def package() -> str | None:
    """The name of the framework's package; None where there is none."""
    return next((name for name in ("django.tasks", "django_tasks") if find_spec(name) is not None), None)


def part(name: str = "") -> Any:
    """A module of the framework.

    Args:
        name: Its name within the package; the package itself unless given.

    Raises:
        ImportError: There is no framework.
    """
    found = package()
    if found is None:
        import django

        raise ImportError(f"this is Django {django.__version__}: {NEEDS}")
    return import_module(f"{found}.{name}" if name else found)


class MissingBackend:
    """In the place of the framework's base class where there is none: says what is needed when it is made."""

    def __init__(self, *_args: Any) -> None:
        part()


def backend_class() -> Any:
    """The base class of backends."""
    return MissingBackend if package() is None else part("backends.base").BaseTaskBackend
