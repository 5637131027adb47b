"""``docs/first-afternoon.md``, done as it says: its files, its commands, and what one sees."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.dev_process import PATIENCE, clean_environment
from tests.support.ports import free_ports

PAGE = Path(__file__).resolve().parents[3] / "docs" / "first-afternoon.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DEV = "sqs-tasks dev "


class Terminal:
    """A command that goes on, and what it has written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: list[str] = []
        self._seen = 0
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._more:
                self._lines.append(line.rstrip("\n"))
                self._more.notify_all()

    def close(self) -> None:
        """End the command, if it goes on, and its pipe."""
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait_for(self, expected: list[str]) -> None:
        """Wait until all of these lines are there; in any order, since output and log are two pipes."""
        with self._more:
            fresh = self._seen
            arrived = self._more.wait_for(lambda: not _missing(expected, self._lines[fresh:]), PATIENCE)
            assert arrived, (_missing(expected, self._lines[fresh:]), self._lines)
            self._seen = max(n for n, line in enumerate(self._lines, 1) if any(_fits(one, line) for one in expected))


def _fits(expected: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, expected.strip().split("…"))), line.strip()) is not None


def _missing(expected: list[str], lines: list[str]) -> list[str]:
    return [one for one in expected if not any(_fits(one, line) for line in lines)]


@contextmanager
def _terminal(command: str, directory: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    process = subprocess.Popen(
        command.split(),
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    terminal = Terminal(process)
    try:
        yield terminal
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    finally:
        terminal.close()


def _commands(block: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block with the lines that it shows."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, shown) for command, *shown in (part.splitlines() for part in parts)]


def test_the_afternoon(tmp_path: Path) -> None:
    """Every file and command of the page in its order, with the lines that the page shows; ``dev`` is a process."""
    port = str(free_ports())
    blocks = [(kind, text.replace("9324", port)) for kind, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]
    first_of_dev = next(n for n, (_, text) in enumerate(blocks) if _DEV in text)
    ((dev_command, banner),) = _commands(blocks[first_of_dev][1])
    environment = clean_environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"

    _do(blocks[:first_of_dev], tmp_path, environment, None)
    with _terminal(f"{dev_command} --port {port}", tmp_path, environment) as terminal:
        terminal.wait_for([*banner, "… processing queue orders"])
        _do(blocks[first_of_dev + 1 :], tmp_path, environment, terminal)

    assert terminal.process.returncode in (0, 130)
    assert [kind for kind, _ in blocks].count("text") == 4
    assert "AWS::SQS::Queue" in (tmp_path / "template.yaml").read_text(encoding="utf-8")


def _do(blocks: list[tuple[str, str]], directory: Path, environment: dict[str, str], dev: Terminal | None) -> None:
    for kind, text in blocks:
        if kind == "python":
            path = directory / text.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif kind == "text":
            assert dev is not None
            dev.wait_for(text.splitlines())
        elif kind == "console":
            for command, shown in _commands(text):
                if command.startswith("export "):
                    environment.update(word.split("=", 1) for word in command.split()[1:])
                    continue
                done = subprocess.run(
                    ["bash", "-c", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
                )
                output = done.stdout + done.stderr
                assert done.returncode == 0, (command, output)
                assert _missing(shown, output.splitlines()) == [], (command, output)
