"""What customers do."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from orders.models import Order
from orders.tasks import count_orders, send_receipt, thank


class SoldOutError(Exception):
    """Raised late, to show what is rolled back."""


@csrf_exempt
def place_order(request: HttpRequest) -> JsonResponse:
    """Save an order, and have its receipt sent. If the request fails, both are as if they never were."""
    order = Order.objects.create(article=request.POST["article"], email=request.POST["email"])
    send_receipt.delay(order.pk)
    count_orders.delay()
    thank.enqueue(order.pk)
    if order.article == "moon":
        raise SoldOutError
    return JsonResponse({"order": order.pk}, status=201)
