"""``python -m sqs_tasks``: the command line, where the script ``sqs-tasks`` is not on the path."""

from __future__ import annotations

from sqs_tasks.cli.main import main

if __name__ == "__main__":
    main()
