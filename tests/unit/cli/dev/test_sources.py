"""The watch on the sources, on a real directory."""

from __future__ import annotations

from queue import SimpleQueue

from sqs_tasks.cli.dev.events import Changed
from sqs_tasks.cli.dev.sources import Sources


def test_saved_python_file_is_told_and_other_files_are_not(tmp_path):
    """Of the two saves the Python file is the one that is heard of."""
    events = SimpleQueue()
    with Sources([tmp_path], events) as sources:
        assert sources.watching.wait(30)
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / "tasks.py").write_text("x")

        event = events.get(timeout=30)

    assert event == Changed([str(tmp_path / "tasks.py")])
