"""The fixtures for pytest, and the example that uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_project_passes() -> None:
    """examples/testing with the plugin, as a project of its own would run it."""
    result = _pytest(ROOT, "examples/testing", "-q")

    assert result.returncode == 0, result.stdout + result.stderr
    assert "6 passed" in result.stdout


def test_the_plugin_finds_the_application_by_its_setting(tmp_path: Path) -> None:
    """And says what to set when it is missing."""
    (tmp_path / "shop.py").write_text(
        "from sqs_tasks import SQSEnv\nenv = SQSEnv()\ntask = env.queue('q').processor('t')(lambda: None)\n"
    )
    (tmp_path / "test_shop.py").write_text(
        "def test_it(sqs):\n    from shop import task\n    from sqs_tasks.testing import assert_enqueued\n"
        "    task.delay()\n    assert_enqueued(task)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nsqs_tasks_app = shop:env\npythonpath = .\n")
    found = _pytest(tmp_path, "-q")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    missing = _pytest(tmp_path, "-q")

    assert "1 passed" in found.stdout, found.stdout + found.stderr
    assert "set sqs_tasks_app" in missing.stdout


def test_the_plugin_imports_nothing_until_it_is_used() -> None:
    """Where it is installed and not used it must not slow pytest down, nor hide lines from coverage."""
    code = (
        "import sys, sqs_tasks.pytest_plugin as p; "
        "print([m for m in sys.modules if m.startswith(('sqs_tasks.', 'boto')) and m != p.__name__])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert result.stdout.strip() == "[]"


def _pytest(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    installed = any(one.value == "sqs_tasks.pytest_plugin" for one in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "sqs_tasks.pytest_plugin"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
