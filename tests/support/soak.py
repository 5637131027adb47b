"""``python -m tests.support.soak --minutes 60``: a chaos run for as long as wanted, with its books at the end."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.support.chaos_run import ChaosRun


def main() -> int:
    """Run it; 0 when the books balance."""
    options = argparse.ArgumentParser(description="Chaos for as long as wanted; the books are checked at the end.")
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked = options.parse_args()
    say = partial(print, flush=True)
    say(f"soak: {asked.minutes:g} minutes, seed {asked.seed} (the same order of events: --seed {asked.seed})")
    end = time.monotonic() + 60 * asked.minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        books = ChaosRun(Path(directory), seed=asked.seed, is_over=lambda _: time.monotonic() >= end, say=say).run()
    say(books.text())
    problems = books.problems()
    say("\n".join(f"PROBLEM: {problem}" for problem in problems) or "the books balance")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
