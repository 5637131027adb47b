"""Orders: charged, then packed; cancelled when the money does not come."""

from __future__ import annotations

from . import payments, webhooks
from .database import Order, transaction
from .environment import env
from .mail import send_mail

orders = env.queue("orders", runs_on="fargate")


@orders.processor("charge", no_retry_on=(payments.DeclinedError,), enqueues=["orders"])
def charge(order_id: int) -> None:
    """Take the money. The order's number is the provider's idempotency key: a second run charges nothing."""
    with transaction() as session:
        order = session.get_one(Order, order_id)
        order.charge = payments.charge(order.cents, key=f"order-{order_id}")
        order.state = "paid"


@orders.processor("pack", enqueues=["emails", "webhooks"])
def pack(order_id: int) -> None:
    """Have the order packed, and tell the customer and the sellers: all of it in one transaction, and once."""
    with transaction() as session:
        order = session.get_one(Order, order_id)
        if order.state != "packed":
            order.state = "packed"
            webhooks.publish(session, "order.packed", {"order": order_id})
            send_mail.delay(order.email, f"Your {order.article} is on its way", "Thank you for your order.")


@orders.processor("cancel", enqueues=["emails"])
def cancel(order_id: int) -> None:
    """Give an order up whose money did not come."""
    with transaction() as session:
        order = session.get_one(Order, order_id)
        if order.state != "cancelled":
            order.state = "cancelled"
            send_mail.delay(order.email, f"Your {order.article} was cancelled", "Your card was declined.")


def process(order: Order) -> None:
    """Start what happens to an order, in the transaction that saves it."""
    charge.options(then=pack.bake(order.id), on_failure=cancel.bake(order.id)).delay(order.id)
