"""AWS on this machine: SQS, EventBridge Scheduler, and the event source that invokes a Lambda function."""

from __future__ import annotations
