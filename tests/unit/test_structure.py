"""The shape of the package: no circles, true exports, options and settings that say the same."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import grimp
import pytest

import sqs_tasks
from sqs_tasks.settings import QueueOptions, QueueSettings, TaskOptions, TaskSettings
from sqs_tasks.task import SendOptions, SendOptionsDict

#: Filled in by other arguments than the options.
NOT_OPTIONS = {"name", "batching"}


def strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, by Tarjan's algorithm; single modules are left out."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while True:
                group.append(stack.pop())
                if group[-1] == node:
                    break
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


@pytest.mark.parametrize("package", ["sqs_tasks", "sqs_tasks_cdk"])
def test_no_import_circles_type_checking_and_deferred_imports_counted(package: str) -> None:
    """A circle hidden behind TYPE_CHECKING or inside a function is a circle all the same."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}

    assert strongly_connected(imports) == []


def test_a_circle_would_be_found() -> None:
    """The check itself works."""
    assert strongly_connected({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_every_public_name_can_be_imported() -> None:
    """``from sqs_tasks import X`` works for all of ``__all__``, and ``dir`` shows them."""
    for name in sqs_tasks.__all__:
        assert getattr(sqs_tasks, name) is not None
    assert set(sqs_tasks.__all__) <= set(dir(sqs_tasks))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """Lazy names must not turn a typo into something else."""
    with pytest.raises(AttributeError, match="no attribute 'SQSEnvv'"):
        _ = sqs_tasks.SQSEnvv


def test_every_module_can_be_imported_by_itself() -> None:
    """No module depends on another having been imported before it."""
    for module in pkgutil.walk_packages(sqs_tasks.__path__, "sqs_tasks."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@pytest.mark.parametrize(
    ("options", "settings"),
    [(QueueOptions, QueueSettings), (TaskOptions, TaskSettings), (SendOptionsDict, SendOptions)],
)
def test_options_and_settings_have_the_same_names(options: type, settings: type) -> None:
    """What an editor completes is what the registration keeps."""
    fields = {field.name for field in dataclasses.fields(settings)} - NOT_OPTIONS

    assert set(options.__annotations__) == fields
