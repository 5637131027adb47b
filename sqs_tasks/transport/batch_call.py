"""A batch call to SQS: each entry ends as carried out or as failed, and those that failed are tried again.

SQS answers a batch call with success although some of its entries have failed (S33), so each answer is read entry by
entry. An answer may also be malformed: then only the entries that it says nothing of are in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

#: Makes the request for the entries with these indexes, whose ids are the indexes as text, and gives the answer.
Call: TypeAlias = Callable[[Sequence[int]], Mapping[str, Any]]

#: Why an entry failed: SQS's entry about it, or what the call raised.
Failure: TypeAlias = Mapping[str, Any] | Exception


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of the entries, by their indexes; one that is in neither was not mentioned by SQS.

    Attributes:
        successful: SQS's entries about those that were carried out.
        failed: Why the others were not, in the end.
    """

    successful: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    failed: dict[int, Failure] = field(default_factory=dict)


def carry_out(
    count: int,
    call: Call,
    *,
    is_final: Callable[[Failure], bool],
    pauses: Sequence[float],
    sleep: Callable[[float], None],
    on_retry: Callable[[int], None] = lambda _: None,
) -> BatchAnswer:
    """Make a batch call, and make it again for the entries that failed. Never raises for what the call does.

    Args:
        count: How many entries there are, at most ten.
        call: Makes the request; an exception of it is the failure of all its entries.
        is_final: Whether trying again cannot help.
        pauses: Seconds to wait before each further try; there are as many tries more.
        sleep: Waits.
        on_retry: Called with the number of entries that are about to be tried again.
    """
    answer = BatchAnswer()
    waiting: Sequence[int] = range(count)
    for pause in (*pauses, None):
        failed = _failures(call, waiting, answer)
        last = pause is None
        answer.failed.update({index: why for index, why in failed.items() if last or is_final(why)})
        waiting = [index for index in failed if index not in answer.failed]
        if pause is None or not waiting:
            break
        on_retry(len(waiting))
        sleep(pause)
    return answer


@cache
def doubling(seconds: float, times: int) -> tuple[float, ...]:
    """So many pauses, the first of so many seconds, and each twice as long as the one before."""
    return tuple(seconds * 2**index for index in range(times))


def _failures(call: Call, waiting: Sequence[int], answer: BatchAnswer) -> dict[int, Failure]:
    """Make the call once; those that failed with the reason, while the others go into the answer."""
    try:
        raw = call(waiting)
        whole = _whole(raw, waiting)
        if whole is not None:
            answer.successful.update(whole)
            return {}
        successful, failed = dict(_by_index(raw, "Successful", waiting)), list(_by_index(raw, "Failed", waiting))
    except Exception as error:  # noqa: BLE001 - whatever the client raises, and whatever it answers
        return dict.fromkeys(waiting, error)
    failures: dict[int, Failure] = {index: entry for index, entry in failed if index is not None}
    carried_out = {index: entry for index, entry in successful.items() if index is not None and index not in failures}
    answer.successful.update(carried_out)
    for index, entry in failed:
        if index is None:  # it may be about any entry that is not mentioned otherwise
            failures.update({one: entry for one in waiting if one not in failures and one not in carried_out})
    return failures


def _whole(raw: Mapping[str, Any], waiting: Sequence[int]) -> dict[int, Mapping[str, Any]] | None:
    """The entries by their indexes, where SQS has carried out all; None where the answer has to be read with care."""
    if raw.get("Failed"):
        return None
    try:
        successful = {int(entry["Id"]): entry for entry in raw["Successful"]}
    except (KeyError, TypeError, ValueError):
        return None
    return successful if successful.keys() == set(waiting) else None


def _by_index(
    raw: Mapping[str, Any], name: str, waiting: Sequence[int]
) -> Iterator[tuple[int | None, Mapping[str, Any]]]:
    """The entries of one of an answer's lists; the index is None where an entry does not say which it is about."""
    for entry in raw.get(name) or ():
        # A dictionary, nearly always: to ask for any mapping costs more than all the rest here.
        given = entry if isinstance(entry, (dict, Mapping)) else {}
        text = given.get("Id")
        index = int(text) if isinstance(text, str) and text.isdecimal() else None
        yield index if index in waiting else None, given
