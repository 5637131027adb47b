"""Which of a package's modules import which, and the circles among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import grimp

#: For each node the nodes that it imports.
Imports = dict[str, set[str]]


@cache
def _graph(package: str) -> grimp.ImportGraph:
    """Every import of a package: those under TYPE_CHECKING and those inside functions too."""
    return grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)


def imports_of_modules(package: str) -> Imports:
    """For each module of a package the modules that it imports."""
    graph = _graph(package)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def folders(package: str) -> list[str]:
    """The package and all folders in it, as dotted names."""
    graph = _graph(package)
    return sorted(module for module in graph.modules if graph.find_children(module))


def imports_of_children(imports: Imports, folder: str) -> Imports:
    """What the files and folders that lie in one folder import of each other, each folder taken as one thing."""

    def child(module: str) -> str | None:
        """The child of the folder that the module lies in, or is."""
        if not module.startswith(f"{folder}."):
            return None
        return f"{folder}.{module.removeprefix(f'{folder}.').split('.')[0]}"

    found: Imports = {}
    for module, imported in imports.items():
        importer = child(module)
        if importer is not None:
            others = {child(other) for other in imported} - {None, importer}
            found.setdefault(importer, set()).update(other for other in others if other is not None)
    return found


def circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes that import each other, by Tarjan's algorithm; single nodes are left out."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in imports.get(node, ()):
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

    for node in imports:
        if node not in index:
            visit(node)
    return found
