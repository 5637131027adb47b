"""The studio's queues and tasks: imported by whoever adds jobs and by every worker."""

from __future__ import annotations

import logging

from sqs_tasks import ExponentialBackoff, Reject, SQSEnv

logger = logging.getLogger(__name__)

env = SQSEnv(queue_prefix="studio-")

# Short work in bursts: a function for each handful of messages, none when there is nothing to do. A customer who sends
# thousands does not make the others wait.
stills = env.queue("stills", runs_on="lambda")

# What happens to one room happens in order, and rooms do not wait for each other.
bookings = env.queue("bookings.fifo", runs_on="lambda")

# Longer than a function may run: containers, as many as keep the wait short, and none at night.
films = env.queue("films", runs_on="fargate")


@stills.processor("make_still", max_attempts=5, timeout=20, fair_by="customer", enqueues=[])
def make_still(*, customer: str, film: str, second: int) -> None:
    """Cut one picture out of a film."""
    if second < 0:
        raise Reject(f"a film has no second {second}")
    logger.info("still of %s at %d s for %s", film, second, customer)


@bookings.processor("book_room", max_attempts=3, timeout=10, group_by="room", enqueues=["films"])
def book_room(*, room: str, film: str) -> None:
    """Book a cutting room, and have the film rendered for it."""
    logger.info("room %s is booked for %s", room, film)
    render_film.delay(film=film)


@films.processor("render_film", max_attempts=2, timeout=7_200, backoff_policy=ExponentialBackoff(), enqueues=["stills"])
def render_film(*, film: str) -> None:
    """Render a film, and have a still made of it."""
    logger.info("rendering %s", film)
    make_still.delay(customer="the studio", film=film, second=0)
