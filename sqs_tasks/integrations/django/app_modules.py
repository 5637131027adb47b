"""The modules of Django's installed apps that register tasks: ``SQSEnv(include=autodiscover())``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import overload

from sqs_tasks.errors import ConfigurationError


def autodiscover(module: str = "tasks") -> AppModules:
    """The modules of this name in all installed apps, for ``include``.

    They are looked for when the environment is loaded: by a worker, a function, a command or a test. Django is set up
    then, unless it is already, so that ``sqs-tasks worker`` and Lambda need DJANGO_SETTINGS_MODULE and nothing else.

    Args:
        module: The name of the modules within their apps.
    """
    return AppModules(module)


class AppModules(Sequence[str]):
    """The names of the modules, in the order of INSTALLED_APPS.

    Args:
        module: The name within each app.
    """

    def __init__(self, module: str) -> None:
        self.module = module

    @cached_property
    def _names(self) -> tuple[str, ...]:
        names = tuple(modules_of_apps(self.module))
        if not names:
            raise ConfigurationError(
                f"autodiscover({self.module!r}): no app of INSTALLED_APPS has a module {self.module!r}, so there is no "
                "task; add one, or correct INSTALLED_APPS"
            )
        return names

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._names[index]

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"autodiscover({self.module!r})"


def modules_of_apps(module: str) -> list[str]:
    """The full names of the modules of this name in all installed apps; Django is set up, unless it is already."""
    import django
    from django.apps import apps
    from django.utils.module_loading import module_has_submodule

    if not apps.ready:
        django.setup()
    configs = apps.get_app_configs()
    return [f"{one.name}.{module}" for one in configs if module_has_submodule(one.module, module)]
