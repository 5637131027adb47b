"""``sqs-tasks``: where the command line starts, also when click is not installed."""

from __future__ import annotations

import sys

try:
    from sqs_tasks.cli.group import main
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "click":
        raise

    def main() -> None:  # type: ignore[misc]  # as the click group, called without arguments
        """Say what is missing and end."""
        sys.exit("sqs-tasks: the command line needs click; install it with: pip install 'sqs-tasks[cli]'")


__all__ = ["main"]

if __name__ == "__main__":
    main()
