"""The environment and its tasks: imported by the application and by the worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqs_tasks import Job, SQSEnv, context_middleware
from sqs_tasks.transactions import OnCommit

from .database import Order, session


@contextmanager
def app_context(_job: Job) -> Iterator[None]:
    """Run each job in an application context, whose end removes the session as it does after a request."""
    from .app import app  # the application imports this module

    with app.app_context():
        yield


env = SQSEnv(queue_prefix="shop-", middleware=[context_middleware(app_context)], send=OnCommit(session=session))
emails = env.queue("emails", runs_on="fargate")


@emails.processor("send_receipt", max_attempts=5)
def send_receipt(order_id: int) -> None:
    """Mail the customer what they bought; the order is there, since its session has committed."""
    from flask import current_app

    order = session.get_one(Order, order_id)
    order.receipt = f"{order.article} to {order.email}, by {current_app.config['SHOP_NAME']}"
    session.commit()
