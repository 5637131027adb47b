"""What is kept of an order."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order; its receipt is sent by a task."""

    article = models.CharField(max_length=100)
    email = models.EmailField()
    receipt = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"order {self.pk}: {self.article}"
