"""A shop's sign-up, whose slow part is left to tasks."""

from __future__ import annotations

from sqs_tasks import ConstantBackoff, Reject, SQSEnv

env = SQSEnv(queue_prefix="shop-")
emails = env.queue("emails", max_receive_count=8)

#: What would be sent to a mail server.
outbox: list[str] = []


class MailServerDownError(Exception):
    """The mail server does not answer."""


@emails.processor("send_welcome", max_attempts=3, backoff_policy=ConstantBackoff(60))
def send_welcome(to: str, language: str = "en") -> None:
    """Send the first mail."""
    if "@" not in to:
        raise Reject(f"{to!r} is no address")
    if to.endswith("@slow.example") and not outbox:
        raise MailServerDownError
    outbox.append(f"{to}: welcome ({language})")


@emails.processor("remind")
def remind(to: str) -> None:
    """Send the second mail."""
    outbox.append(f"{to}: still there?")


def sign_up(to: str) -> None:
    """Greet at once, and remind after a quarter of an hour."""
    send_welcome.delay(to, language="fr")
    remind.options(delay_seconds=900).delay(to)
