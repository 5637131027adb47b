"""Prices with their date; those of the library lie beside this file, and others can be given."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from sqs_tasks.errors import ConfigurationError

#: The library's own.
OWN_PRICES = Path(__file__).with_name("prices.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """List prices in dollars.

    Attributes:
        as_of, region, source: When, where and whose they are.
        sqs_standard_request, sqs_fifo_request: One request of up to 64 KiB.
        lambda_request, lambda_gb_second: One invocation, and a gigabyte for a second, on arm64.
        fargate_vcpu_hour, fargate_gb_hour: A virtual CPU and a gigabyte for an hour, on arm64.
        alarm_metric_month: A metric that an alarm reads.
        metric_month: A metric of one's own.
        dashboard_month: A dashboard.
        log_gb: A gigabyte of logs that is written.
        schedule_run: A run of EventBridge Scheduler.
    """

    as_of: str
    region: str
    source: str
    sqs_standard_request: float
    sqs_fifo_request: float
    lambda_request: float
    lambda_gb_second: float
    fargate_vcpu_hour: float
    fargate_gb_hour: float
    alarm_metric_month: float
    metric_month: float
    dashboard_month: float
    log_gb: float
    schedule_run: float

    @classmethod
    def read(cls, path: Path = OWN_PRICES) -> Self:
        """The prices of a file.

        Raises:
            ConfigurationError: It is no such file, or a price is missing.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            texts = {"as_of", "region", "source"}
            names = [one.name for one in fields(cls)]
            values: dict[str, Any] = {name: str(found[name]) if name in texts else float(found[name]) for name in names}
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path} is no file of prices ({type(error).__name__}: {error}); copy {OWN_PRICES} and change its "
                "numbers"
            ) from error
