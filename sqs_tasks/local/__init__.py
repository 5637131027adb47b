"""AWS on your desk: an SQS in memory and over HTTP, and the event source that feeds a Lambda handler."""

from __future__ import annotations
