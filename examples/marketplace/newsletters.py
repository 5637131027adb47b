"""Newsletters: one job fans out to all subscribers, and letters are sent ten at a time."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import select

from . import mail
from .database import Letter, Subscriber, sessions, transaction
from .environment import env

newsletters = env.queue("newsletters", runs_on="fargate")


class LetterJob(TypedDict):
    """One newsletter for one subscriber."""

    newsletter: str
    subscriber_id: int


@newsletters.processor("send_newsletter", timeout=600, enqueues=["newsletters"])
def send_newsletter(newsletter: str) -> None:
    """Add a job for each subscriber, read from the database while they are sent. A second run is harmless."""
    with sessions() as session:
        ids = session.scalars(select(Subscriber.id).execution_options(yield_per=1_000))
        write_letters.map({"newsletter": newsletter, "subscriber_id": one} for one in ids)


@newsletters.batch_processor("write_letters", batch_size=10, isolate_failures=True, enqueues=[])
def write_letters(items: list[LetterJob]) -> None:
    """Send ten letters by one connection, and note who has got one."""
    with transaction() as session, mail.server() as smtp:
        for item in items:
            key = item["newsletter"], item["subscriber_id"]
            if session.get(Letter, key) is None:
                to = session.get_one(Subscriber, item["subscriber_id"]).email
                smtp.send_message(mail.message(to, item["newsletter"], "Dear reader, …", key=f"{key[0]}.{key[1]}"))
                session.add(Letter(newsletter=key[0], subscriber_id=key[1]))
