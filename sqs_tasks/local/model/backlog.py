"""The backlog of a standard queue: messages that can be received, oldest first, quiet tenants before noisy ones.

Adding, taking and removing cost O(log n) at the very most; with one tenant and no returned messages they are constant,
so a queue with 200,000 messages is served like one with a hundred.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from sqs_tasks.local.model.fairness import Fairness
from sqs_tasks.local.model.message import READY, Message

#: ``[order, serial, message]``; the message is taken out when the entry no longer counts, and
#: the rest is skipped later. The serial keeps entries of the same order apart.
Entry = list[Any]

#: Skipped messages are swept out of a lane when they outnumber the others and this many.
_SWEEP_AT_LEAST = 256

#: Receives after which a message goes to the back of the queue (S25).
_RECEIVES_TO_THE_BACK = 3

_MESSAGE = 2

_serials = itertools.count()


class Lane:
    """The waiting messages of one tenant: a line of newcomers, and a heap of those that came later than their number.

    Newcomers stand in the line as they are, without an entry: nearly all messages wait once, and 200,000 lists are
    memory. They can leave it early only when they expire.
    """

    __slots__ = ("_dead", "_new", "_returned", "group_id", "listed_at", "size")

    def __init__(self, group_id: str | None) -> None:
        self.group_id = group_id
        self.listed_at: int | None = None
        self.size = 0
        self._new: deque[Message] = deque()
        self._returned: list[Entry] = []
        self._dead = 0

    def append(self, message: Message) -> None:
        """Add a message with the highest number yet."""
        self.size += 1
        self._new.append(message)

    def insert(self, message: Message, order: int) -> None:
        """Add a message at its place."""
        self.size += 1
        message.entry = [order, next(_serials), message]
        heapq.heappush(self._returned, message.entry)

    def first(self) -> int | None:
        """The place of the oldest message, or None when there is none."""
        new, returned = self._new, self._returned
        while new and new[0].state is not READY:
            new.popleft()
            self._dead -= 1
        while returned and returned[0][_MESSAGE] is None:
            heapq.heappop(returned)
            self._dead -= 1
        if returned and (not new or returned[0][0] < new[0].number):
            order: int = returned[0][0]
            return order
        return new[0].number if new else None

    def pop(self) -> Message | None:
        """Take the oldest message."""
        order = self.first()
        if order is None:
            return None
        self.size -= 1
        if self._returned and self._returned[0][0] == order:
            message: Message = heapq.heappop(self._returned)[_MESSAGE]
            message.entry = None
            return message
        return self._new.popleft()

    def drop(self, message: Message) -> None:
        """Make a message not count, which is not ready any more; it is skipped when its turn comes."""
        if message.entry is not None:
            message.entry[_MESSAGE] = None
            message.entry = None
        self.size -= 1
        self._dead += 1
        if self._dead > _SWEEP_AT_LEAST and self._dead > self.size:
            self._new = deque(kept for kept in self._new if kept.state is READY)
            self._returned = [kept for kept in self._returned if kept[_MESSAGE] is not None]
            heapq.heapify(self._returned)
            self._dead = 0


class Backlog:
    """Messages of a standard queue that can be received.

    Attributes:
        fairness: Counts what each tenant has in flight; the queue keeps it up to date.
    """

    def __init__(self, next_number: Callable[[], int]) -> None:
        self._next_number = next_number
        self._listings = itertools.count()
        self.fairness = Fairness()
        self._nobody = Lane(None)
        self._lanes: dict[str, Lane] = {}
        self._quiet: list[tuple[int, int, Lane]] = []
        self._noisy: list[Lane] = []

    def push(self, message: Message) -> None:
        """Add a message that has arrived, or that is visible again.

        It takes its place by age. One that was received three times goes to the back, as on AWS, so that a message
        nobody can process does not stand in front of the others forever.
        """
        group_id = message.group_id
        if group_id is None:
            lane = self._nobody
        else:
            lane = self._lanes.get(group_id) or self._lanes.setdefault(group_id, Lane(group_id))
        if message.receives_here == 0 and not message.was_hidden:
            lane.append(message)
        elif message.receives_here < _RECEIVES_TO_THE_BACK:
            lane.insert(message, message.number)
        else:
            lane.insert(message, self._next_number())
        if group_id is not None:
            self.fairness.waits(group_id)
            if lane not in self._noisy:
                self._list(lane)

    def remove(self, message: Message) -> None:
        """Take out a message that was deleted while it waited, after its state was changed."""
        lane = self._nobody if message.group_id is None else self._lanes[message.group_id]
        lane.drop(message)
        self._left(lane)

    def take(self, limit: int, now: float, accept: Callable[[Message], bool]) -> list[Message]:
        """Take up to that many messages; those that ``accept`` refuses are gone from here all the same."""
        taken: list[Message] = []
        while len(taken) < limit:
            message = self._pop(now)
            if message is None:
                break
            if accept(message):
                taken.append(message)
        return taken

    def hold(self, message: Message) -> None:
        """A message entered the queue that cannot be received yet: nothing to do without an order to keep."""

    def __bool__(self) -> bool:
        return bool(self._nobody.size or self._lanes)

    def clear(self) -> None:
        """Forget every waiting message."""
        self.fairness = Fairness()
        self._nobody = Lane(None)
        self._lanes.clear()
        self._quiet.clear()
        self._noisy.clear()

    def _pop(self, now: float) -> Message | None:
        if not self._lanes:
            return self._nobody.pop()
        for lane in [noisy for noisy in self._noisy if not self.fairness.is_noisy(str(noisy.group_id), now)]:
            self._noisy.remove(lane)
            self._list(lane)
        lane_or_none = self._first_quiet(now) or self._least_noisy()
        if lane_or_none is None:
            return None
        message = lane_or_none.pop()
        self._left(lane_or_none)
        return message

    def _first_quiet(self, now: float) -> Lane | None:
        """The lane of a quiet tenant whose first message is the oldest; lanes found noisy on the way are set aside."""
        unnamed = self._nobody.first()
        while self._quiet:
            order, _, lane = self._quiet[0]
            if lane.listed_at != order:
                heapq.heappop(self._quiet)
                continue
            if self.fairness.is_noisy(str(lane.group_id), now):
                heapq.heappop(self._quiet)
                lane.listed_at = None
                self._noisy.append(lane)
                continue
            if unnamed is not None and unnamed < order:
                break
            return lane
        return self._nobody if unnamed is not None else None

    def _least_noisy(self) -> Lane | None:
        """Among noisy tenants, the one with the fewest messages in flight."""
        return min(self._noisy, key=lambda lane: self.fairness.in_flight(str(lane.group_id)), default=None)

    def _list(self, lane: Lane) -> None:
        """Put a lane into the order of quiet lanes, under its oldest message."""
        first = lane.first()
        if first is not None and lane.listed_at != first:
            lane.listed_at = first
            heapq.heappush(self._quiet, (first, next(self._listings), lane))

    def _left(self, lane: Lane) -> None:
        """A message left a lane: list the lane under its next one, or drop it when that was the last."""
        if lane.group_id is None:
            return
        self.fairness.waits_no_more(lane.group_id)
        if lane.size:
            if lane not in self._noisy:
                self._list(lane)
            return
        lane.listed_at = None
        if lane in self._noisy:
            self._noisy.remove(lane)
        del self._lanes[lane.group_id]
