"""Two queues of a small shop, for a container."""

from __future__ import annotations

import time

from sqs_tasks import ExponentialBackoff, SQSEnv
from sqs_tasks.worker.lease import current_lease

env = SQSEnv(queue_prefix="shop-")
emails = env.queue("emails", runs_on="fargate")
videos = env.queue("videos", runs_on="fargate", visibility_timeout_seconds=120)


@emails.processor("send_email", max_attempts=5, backoff_policy=ExponentialBackoff(min_visibility_timeout=10))
async def send_email(to: str, subject: str) -> None:
    """Asynchronous: hundreds at once on the event loop of each process."""
    print(f"sent {subject!r} to {to}", flush=True)


@videos.processor("transcode", max_attempts=3)
def transcode(path: str, chunks: int = 1) -> None:
    """Long: the heartbeat keeps its message, and it gives up when that was lost to another worker."""
    lease = current_lease()
    for chunk in range(chunks):
        if lease is not None and lease.lost:
            return
        time.sleep(0.1)
        print(f"{path}: chunk {chunk} done", flush=True)
