"""The environment and its tasks: imported by the application and by the worker."""

from __future__ import annotations

from sqs_tasks import SQSEnv
from sqs_tasks.transactions import OnCommit

from .database import Order, current_session, sessions

env = SQSEnv(queue_prefix="shop-", send=OnCommit(session=current_session))
emails = env.queue("emails", runs_on="fargate")


@emails.processor("send_receipt", max_attempts=5)
async def send_receipt(order_id: int) -> None:
    """Mail the customer what they bought; the order is there, since its session has committed."""
    async with sessions.begin() as session:
        order = await session.get_one(Order, order_id)
        order.receipt = f"{order.article} to {order.email}"


@emails.processor("greet", max_attempts=5)
async def greet(email: str) -> None:
    """Say hello."""
    print(f"hello {email}", flush=True)
