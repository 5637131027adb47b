"""The doctor: what is wrong with an application and its deployment, why it matters, and how it is fixed."""

from __future__ import annotations

from sqs_tasks.operations.doctor.examination import Examination, examine
from sqs_tasks.operations.doctor.finding import Finding, Severity

__all__ = ["Examination", "Finding", "Severity", "examine"]
