"""Lock files of other tools, as these tools themselves have written and export them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sqs_tasks_cdk import lock_files
from tests.support import lock_tools

#: A project that needs six and, to be developed, iniconfig; each has been locked by its tool.
LOCKED = Path(__file__).parent / "locked"


@pytest.mark.parametrize("lock", ["poetry/poetry.lock", "pdm/pdm.lock", "pipenv/Pipfile.lock"])
def test_lock_file_is_exported_by_its_real_tool(lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tool locked is what is installed: with versions and hashes, and without what developing needs."""
    if not lock_tools.is_installed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("pdm and poetry are not installed; 'make test' does it")
    monkeypatch.setenv("PATH", f"{lock_tools.COMMANDS}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project = shutil.copytree((LOCKED / lock).parent, tmp_path / "shop")

    found = lock_files.lock_file(project, None)
    assert found == project / Path(lock).name
    text = lock_files.requirements_text(found)

    assert lock_files.distributions(text) == {"six"}
    assert ("six==1.17.0" in text, "--hash=sha256:4721f391ed90" in text) == (True, True)
    assert lock_files.unpinned(text) == []
    # Nothing of an entry is left when another file brings the distribution, its hashes neither.
    assert "sha256" not in lock_files.without(text, {"six"})
