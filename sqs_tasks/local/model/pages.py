"""Lists of queue URLs, in pages."""

from __future__ import annotations

from collections.abc import Iterable

from sqs_tasks.local.model import validation
from sqs_tasks.local.model.account import Account, Answer, Caller, Params

#: Queues in one page, and in the answer to a request that did not ask for pages.
MAX_LISTED = 1_000


def of_queues(key: str, names: Iterable[str], params: Params, caller: Caller) -> Answer:
    """The URLs of queues under that key, in order of their names.

    A page ends with a token only when the request set MaxResults, as on AWS.
    """
    most = params.get("MaxResults")
    if most is not None:
        validation.number_between("MaxResults", most, 1, MAX_LISTED)
    after = params.get("NextToken") or ""
    left = sorted(name for name in names if name > after)
    page = left[: most or MAX_LISTED]
    answer: Answer = {key: [Account.url(name, caller) for name in page]} if page else {}
    if most is not None and len(page) < len(left):
        answer["NextToken"] = page[-1]
    return answer
