"""pdm, poetry and pipenv, in an environment of their own, ``.venv-locktools``: they bring many libraries.

python -m venv .venv-locktools && .venv-locktools/bin/pip install -r requirements-locktools.lock
"""

from __future__ import annotations

from pathlib import Path

#: Where their commands are.
COMMANDS = Path(__file__).resolve().parents[2] / ".venv-locktools" / "bin"


def is_installed() -> bool:
    """Whether their environment is there."""
    return all((COMMANDS / name).is_file() for name in ("pdm", "poetry", "pipenv"))
