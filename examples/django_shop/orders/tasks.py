"""The tasks of orders: ``autodiscover()`` finds this module."""

from __future__ import annotations

from shop.sqs import env

from orders.models import Order

try:
    from django.tasks import task
except ImportError:  # Django 5.2, with the package django-tasks
    from django_tasks import task

emails = env.queue("emails", runs_on="fargate")


@emails.processor("send_receipt", max_attempts=5)
def send_receipt(order_id: int) -> None:
    """Mail the customer what they bought; the order is there, since its request has committed."""
    order = Order.objects.get(pk=order_id)
    order.receipt = f"{order.article} to {order.email}"
    order.save(update_fields=["receipt"])


@emails.processor("count_orders")
async def count_orders() -> None:
    """Async tasks use the async methods of the ORM."""
    print(f"{await Order.objects.acount()} orders so far", flush=True)


@task(queue_name="emails")
def thank(order_id: int) -> None:
    """A task of Django's own framework; the same workers run it."""
    order = Order.objects.get(pk=order_id)
    print(f"thank you, {order.email}", flush=True)
