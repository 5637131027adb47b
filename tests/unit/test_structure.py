"""The shape of the package: its tree and its imports, true exports, options and settings that say the same."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import sqs_tasks
from sqs_tasks.sending.send_options import SendOptions, SendOptionsDict
from sqs_tasks.settings import QueueOptions, QueueSettings, TaskOptions, TaskSettings
from tests.support import django_project
from tests.support.import_graph import circles, folders, imports_of_children, imports_of_modules

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sqs_tasks", "sqs_tasks_cdk")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

MAX_LINES = 450
MAX_FLAT_FILES = 36

#: Folders of tests/unit whose tests are of no one part.
ACROSS_THE_PACKAGE = {"features", "faults", "properties", "docs"}

#: Filled in by other arguments than the options.
NOT_OPTIONS = {"name"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_circles_type_checking_and_deferred_imports_counted(package: str) -> None:
    """A circle hidden behind TYPE_CHECKING or inside a function is a circle all the same."""
    assert circles(imports_of_modules(package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_circles_between_folders(package: str) -> None:
    """Of two neighbours, files or folders, at most one knows the other, at every level of the tree."""
    imports = imports_of_modules(package)

    found = {folder: circles(imports_of_children(imports, folder)) for folder in folders(package)}

    assert {folder: groups for folder, groups in found.items() if groups} == {}


def test_a_circle_would_be_found() -> None:
    """The check itself works, for files and for folders."""
    of_folders = {"p.a.x": {"p.b.x"}, "p.b.y": {"p.c"}, "p.c": {"p.a.y"}, "p.a.y": set(), "p.b.x": set()}

    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles(of_folders) == []
    assert circles(imports_of_children(of_folders, "p")) == [["p.a", "p.b", "p.c"]]


def test_what_lies_flat_is_what_users_import_and_the_ground() -> None:
    """What a job passes through has a folder; a file is put beside the public ones for a reason only."""
    flat = {path.stem for path in (ROOT / "sqs_tasks").glob("*.py")} - {"__init__", "__main__", "__version__"}

    assert len(flat) <= MAX_FLAT_FILES


def test_no_file_is_too_long_to_be_read_at_a_sitting() -> None:
    """A file that grows beyond the limit holds a second noun, which gets a file of its own."""
    files = {path.relative_to(ROOT).as_posix(): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in files.items()}

    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_the_architecture_shows_every_folder() -> None:
    """A new folder gets its line in docs/architecture.md, and one that is gone loses it."""
    code = {
        path.parent.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    } | {"lambda_handler"}

    assert set(re.findall(r"^\| `([\w/]+)/` \|", ARCHITECTURE, re.MULTILINE)) == code


def test_the_architecture_shows_every_flat_file() -> None:
    """A new file beside the public ones gets its place among them."""
    flat = {path.stem for path in (ROOT / "sqs_tasks").glob("*.py")} - {"__init__", "__main__", "__version__"}
    listed = [
        name
        for row in re.findall(r"^\| [\w ]+ \| ((?:`\w+` ?)+)\|$", ARCHITECTURE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]

    assert sorted(listed) == sorted(flat)


def test_the_unit_tests_mirror_the_package() -> None:
    """The tests of ``sqs_tasks/x/`` are found in ``tests/unit/x/``; tests of no one part have folders of their own."""
    tests = ROOT / "tests" / "unit"
    folders_of_tests = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")} - {"."}

    unknown = {name for name in folders_of_tests - ACROSS_THE_PACKAGE if not (ROOT / "sqs_tasks" / name).is_dir()}

    assert unknown == set()


def test_every_test_says_in_a_sentence_what_holds() -> None:
    """The docstrings of the tests are the specification."""
    silent = [
        f"{path.relative_to(ROOT).as_posix()}::{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


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
    """No module depends on another having been imported before it; models of Django need a project."""
    django_project.configure()
    for module in pkgutil.walk_packages(sqs_tasks.__path__, "sqs_tasks."):
        # What runs when it is imported: the command, and a deployed function.
        if not module.name.endswith(("__main__", ".lambda_handler")):
            importlib.import_module(module.name)


@pytest.mark.parametrize(
    ("options", "settings"),
    [(QueueOptions, QueueSettings), (TaskOptions, TaskSettings), (SendOptionsDict, SendOptions)],
)
def test_options_and_settings_have_the_same_names(options: type, settings: type) -> None:
    """What an editor completes is what the registration keeps."""
    fields = {field.name for field in dataclasses.fields(settings)} - NOT_OPTIONS

    assert set(options.__annotations__) == fields
