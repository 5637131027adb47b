"""Lists in pages."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from sqs_tasks.local.scheduler import faults

#: What one page holds at most, and when nothing is said.
MAX_RESULTS = 100


def page(key: str, found: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The page that a request asks for, in the order of names, with a token for the next one if there is more.

    Raises:
        SchedulerFault: The token is not one of ours.
    """
    after = _read(params["NextToken"]) if "NextToken" in params else ""
    names = sorted(name for name in found if name > after)
    shown = names[: params.get("MaxResults", MAX_RESULTS)]
    answer: dict[str, Any] = {key: [found[name] for name in shown]}
    if len(shown) < len(names):
        answer["NextToken"] = base64.urlsafe_b64encode(shown[-1].encode()).decode()
    return answer


def _read(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise faults.invalid(f"Invalid NextToken {token}.") from None
