"""The shop's queues and tasks: imported by whoever adds jobs, by the workers and by the Lambda function."""

from __future__ import annotations

from decimal import Decimal

from sqs_tasks import ConstantBackoff, ExponentialBackoff, Reject, SQSEnv, context_middleware

from . import services
from .journal import journaled

env = SQSEnv(queue_prefix="shop-", middleware=[context_middleware(journaled)])

# Worked by containers: `sqs-tasks worker shop.tasks:env receipts`.
receipts = env.queue("receipts", runs_on="fargate", backoff_policy=ConstantBackoff(1))

# Worked by Lambda: function.py. Nobody says how often a picture is tried: after five deliveries SQS itself moves it
# to the dead-letter queue.
pictures = env.queue("pictures", runs_on="lambda", backoff_policy=ConstantBackoff(1))

# Worked by the same function.
payments = env.queue("payments", runs_on="lambda")


@receipts.processor("send_receipt", max_attempts=4, timeout=10)
def send_receipt(order_id: int, email: str, total: Decimal) -> None:
    """Mail a customer what they bought."""
    services.mail_server.send(email, f"Thank you for order {order_id}! You paid {total:.2f} EUR.")


@receipts.processor("notify_warehouse", max_attempts=4, timeout=10)
async def notify_warehouse(order_id: int, shelf: str) -> None:
    """Have an order packed. All async tasks of a process share one event loop, so its connections are reused."""
    await services.warehouse.pack(shelf, order_id)


@pictures.processor("resize_picture", timeout=5)
def resize_picture(picture: str, width: int) -> None:
    """Make the small picture of a product."""
    if width < 1:
        raise Reject(f"a picture cannot be {width} pixels wide")
    services.image_library.resize(picture, width)


@payments.processor(
    "charge_card",
    max_attempts=3,
    timeout=5,
    no_retry_on=(services.CardDeclinedError,),
    backoff_policy=ExponentialBackoff(base=2, multiplier=0.5, max_visibility_timeout=2),
)
def charge_card(order_id: int, card: str, total: Decimal) -> None:
    """Take the money. A declined card stays declined; a network that is away may come back."""
    services.card_network.charge(card, total, reference=f"order {order_id}")
