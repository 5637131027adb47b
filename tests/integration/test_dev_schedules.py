"""``sqs-tasks dev`` with schedules: they run, are shown with their next runs, and can be run by hand."""

from __future__ import annotations

import subprocess
import sys

from tests.support.dev_process import PATIENCE, clean_environment, dev

APP = """
from datetime import UTC, datetime, timedelta

from sqs_tasks import Cron, Every, SQSEnv

env = SQSEnv(queue_prefix="t-")
reports = env.queue("reports")


@reports.processor("nightly", schedule=Cron("0 2 * * ? *", timezone="Europe/Berlin"))
def nightly() -> None:
    print("good night")


@reports.processor("often", schedule=Every(minutes=15))
def often() -> None:
    receipt = nightly.options(delay_seconds=3600).delay()
    print("held", receipt.run_at is not None, receipt.cancel())
"""


def test_schedules_run_and_are_shown_with_their_next_runs(tmp_path):
    """A rate runs when it is made, as on AWS; cron waits for its time, which is shown; one can be run now."""
    (tmp_path / "app.py").write_text(APP)
    with dev(tmp_path, "app:env") as session:
        exports = session.wait_for("dev_started")["environment"]
        shown = session.wait_for("dev_schedule")["message"]
        assert shown.startswith("schedule reports.nightly runs next on ")
        assert " 02:00 +0" in shown
        assert "schedule reports.often runs next on" in session.wait_for("dev_schedule")["message"]
        assert "sqs-tasks schedules run app:env NAME" in session.wait_for("dev_schedule")["message"]
        first = session.wait_for("job_succeeded")
        assert first["job_id"].startswith("reports.often@")
        session.wait_for_output("held True True")

        done = subprocess.run(
            [sys.executable, "-m", "sqs_tasks", "schedules", "run", "app:env", "reports.nightly"],
            cwd=tmp_path,
            env={**clean_environment(), **exports},
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        by_hand = session.wait_for("job_succeeded")
        session.wait_for_output("good night")
        assert done.stdout.split()[0] == by_hand["job_id"]

        (tmp_path / "app.py").write_text(APP.replace("0 2 * * ? *", "0 5 * * ? *"))
        session.wait_for("dev_loaded")
        assert " 05:00 +0" in session.wait_for("dev_schedule")["message"]
        assert session.stop() == (0, "")
