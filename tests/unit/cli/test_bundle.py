"""``sqs-tasks bundle``. Wheels and lock files are the subject of ``tests/infrastructure/test_bundling.py``."""

from __future__ import annotations

import json
import os
import time
import zipfile

import pytest

from sqs_tasks_cdk import bundle_source


@pytest.fixture
def project(directory, monkeypatch):
    """A project with nothing to install, and no handler's requirements."""
    (directory / "shop").mkdir()
    (directory / "shop" / "__init__.py").write_text("")
    (directory / "shop" / "tasks.py").write_text("raise RuntimeError('it is not imported')\n")
    empty = directory / "empty.lock"
    empty.write_text("")
    monkeypatch.setattr(bundle_source, "HANDLER_REQUIREMENTS", empty)
    return directory


def test_the_same_input_gives_the_same_bytes(run, project):
    """A second run, with other times and rights of the sources, writes the same file; another source another."""
    first = json.loads(run("bundle", "shop.tasks:env", "-o", "a.zip", "--json").stdout)
    os.utime(project / "shop" / "tasks.py", (time.time() - 5_000,) * 2)
    (project / "shop" / "tasks.py").chmod(0o600)
    second = json.loads(run("bundle", "shop.tasks:env", "-o", "b.zip", "--json").stdout)
    (project / "shop" / "tasks.py").write_text("# other\n")
    third = json.loads(run("bundle", "shop.tasks:env", "-o", "c.zip", "--json").stdout)

    assert (project / "a.zip").read_bytes() == (project / "b.zip").read_bytes()
    assert first["sha256"] == second["sha256"] != third["sha256"]


def test_the_handler_and_the_application_are_in_it(run, project):
    """Everybody may read the files: Lambda runs as another user."""
    result = run("bundle", "shop.tasks:env", "-o", "out/function.zip", "--python", "3.12", "--arch", "x86_64")

    with zipfile.ZipFile(project / "out" / "function.zip") as archive:
        names = set(archive.namelist())
        rights = {entry.external_attr >> 16 & 0o444 for entry in archive.infolist()}
    assert result.exit_code == 0
    assert {"sqs_tasks/lambda_handler.py", "shop/tasks.py"} <= names
    assert not [name for name in names if "sqs_tasks_cdk" in name or "__pycache__" in name]
    assert rights == {0o444}
    assert result.stdout == ""
    assert result.stderr.startswith("wrote out/function.zip: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shopp.tasks:env"], "no package or module 'shopp'"),
        (["shop.tasks:env", "--requirements", "no.lock"], "there is no requirements file"),
        (["shop.tasks:env", "--python", "2"], "is not a managed Python runtime"),
    ],
)
def test_what_cannot_be_bundled_is_one_line(run, project, arguments, said):
    """And no file is written."""
    result = run("bundle", *arguments, "-o", "a.zip")

    assert result.exit_code == 1
    assert said in result.stderr
    assert not (project / "a.zip").exists()


def test_python_that_the_project_excludes_is_refused(run, project):
    """A function whose Python the project does not run on is refused here, and not at its first invocation."""
    (project / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.13"\n')

    refused = run("bundle", "shop.tasks:env", "-o", "a.zip", "--python", "3.12")
    made = run("bundle", "shop.tasks:env", "-o", "b.zip", "--python", "3.13")

    assert "the runtime python3.12 has Python 3.12" in refused.stderr
    assert (refused.exit_code, made.exit_code, (project / "a.zip").exists()) == (1, 0, False)
