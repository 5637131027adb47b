"""One good event in a new process, as AWS's runtime client would bring it; prints what was imported for it.

Run as ``python lambda_cold_start.py SETUP``, where SETUP is Python that leaves a ``handler`` and an ``event``.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Print a JSON object: the modules imported beyond those of the runtime client, and the answer."""
    import awslambdaric.bootstrap  # noqa: F401 - the baseline: what every Python function on Lambda has loaded

    before = set(sys.modules)
    names: dict[str, object] = {}
    exec(sys.argv[1], names)
    answer = names["handler"](names["event"], None)
    print(json.dumps({"answer": answer, "imported": sorted(set(sys.modules) - before)}))


if __name__ == "__main__":
    main()
