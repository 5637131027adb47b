"""Children that do not start: the worker waits, gives jobs back, and gives up in the end."""

from __future__ import annotations

import sys

import pytest

from sqs_tasks.worker.children.child import ChildNotStartedError
from sqs_tasks.worker.children.child_pool import MAX_FAILED_STARTS, ChildPool

#: Exits before it is ready.
BROKEN = [sys.executable, "-S", "-E", "-c", "raise SystemExit(3)"]


def test_each_failed_start_makes_the_next_one_wait(caplog):
    """Jobs go back meanwhile; after ten in a row the worker ends."""
    now, given_up = [100.0], []
    pool = ChildPool(BROKEN, clock=lambda: now[0], on_hopeless=lambda: given_up.append(1))

    for failed in range(MAX_FAILED_STARTS):
        with pytest.raises(ChildNotStartedError, match="exit code 3"):
            pool.begin()
        with pytest.raises(ChildNotStartedError, match="the last one did not start either"), pool.child():
            pass
        now[0] += min(0.5 * 2**failed, 30)

    assert given_up == [1]
    assert sum(record.__dict__.get("action") == "child_not_started" for record in caplog.records) == MAX_FAILED_STARTS
    pool.close(1)
    now[0] += 60
    with pytest.raises(ChildNotStartedError, match="the worker is stopping"):
        pool.begin()
