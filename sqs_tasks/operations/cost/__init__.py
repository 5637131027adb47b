"""What an application costs in a month, by list prices and assumptions that are said."""

from __future__ import annotations

from sqs_tasks.operations.cost.estimate import CostLine, Estimate, Load, estimate
from sqs_tasks.operations.cost.prices import Prices

__all__ = ["CostLine", "Estimate", "Load", "Prices", "estimate"]
