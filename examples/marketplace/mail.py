"""E-mail: a queue of its own, so that a slow mail server holds up nothing else."""

from __future__ import annotations

import os
import smtplib
from email.message import EmailMessage

from sqs_tasks import ExponentialBackoff, Reject, current_job

from .environment import env

emails = env.queue("emails", runs_on="fargate")

#: What a mail server says of addresses that it will never take.
_REFUSED = range(550, 555)


@emails.processor(
    "send_mail", backoff_policy=ExponentialBackoff(min_visibility_timeout=5, max_visibility_timeout=3_600), enqueues=[]
)
def send_mail(to: str, subject: str, body: str) -> None:
    """Send a mail. A second run of the job sends it with the same id, by which mail programs know it."""
    job = current_job()
    try:
        with server() as smtp:
            smtp.send_message(message(to, subject, body, key="mail" if job is None else job.job_id))
    except smtplib.SMTPRecipientsRefused as error:
        code = error.recipients[to][0]
        if code in _REFUSED:
            raise Reject(f"the mail server refuses the address: {code}") from error
        raise


def message(to: str, subject: str, body: str, *, key: str) -> EmailMessage:
    """A mail; its id is made of the key."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@marketplace.example", to, subject
    mail["Message-ID"] = f"<{key.replace('/', '.')}@marketplace.example>"
    mail.set_content(body)
    return mail


def server() -> smtplib.SMTP:
    """A connection to the mail server."""
    host, _, port = os.environ.get("MARKETPLACE_SMTP", "localhost:25").partition(":")
    return smtplib.SMTP(host, int(port), timeout=20)
