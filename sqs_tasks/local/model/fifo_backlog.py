"""The backlog of a FIFO queue: message groups in turn, each in strict order.

The rule that keeps the order: a message can be received when every earlier message of its group is gone, or is handed
out by the same receive. Earlier messages that are in flight or delayed hold back all later ones of the group; a message
that becomes visible again is received even while later ones of its group are still in flight, because it comes first.
"When you receive a message with a message group ID, no more messages for the same message group ID are returned unless
you delete the message, or it becomes visible", says AWS, and does so (LocalStack's authors observed it there).
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any

from sqs_tasks.local.model.message import DELAYED, IN_FLIGHT, READY, Message

#: ``[number, message]``, as in :mod:`sqs_tasks.local.model.backlog`.
Entry = list[Any]

_HOLDING = (DELAYED, IN_FLIGHT)


class Group:
    """One message group: what can be received, and what holds it back."""

    __slots__ = ("_held", "_visible", "listed")

    def __init__(self) -> None:
        self.listed = False
        self._visible: list[Entry] = []
        self._held: list[tuple[int, Message]] = []

    def push(self, entry: Entry) -> None:
        """Add a message that can be received, as far as it alone is concerned."""
        heapq.heappush(self._visible, entry)

    def hold(self, message: Message) -> None:
        """A message is delayed or in flight: later ones wait for it."""
        heapq.heappush(self._held, (message.number, message))

    def first(self) -> Entry | None:
        """The next entry that can be received, left in place."""
        self._skip()
        visible, held = self._visible, self._held
        if visible and (not held or visible[0][0] < held[0][0]):
            return visible[0]
        return None

    def pop(self) -> Message | None:
        """Take the next message."""
        entry = self.first()
        if entry is None:
            return None
        heapq.heappop(self._visible)
        message: Message = entry[1]
        message.entry = None
        return message

    def is_empty(self) -> bool:
        """Nothing is waiting, in flight or delayed."""
        self._skip()
        return not self._visible and not self._held

    def _skip(self) -> None:
        """Drop what no longer counts from the tops of both heaps."""
        visible, held = self._visible, self._held
        while visible and visible[0][1] is None:
            heapq.heappop(visible)
        while held and (held[0][1].number != held[0][0] or held[0][1].state not in _HOLDING):
            heapq.heappop(held)


class FifoBacklog:
    """Messages of a FIFO queue that can be received, by group.

    A receive takes as many messages of one group as it can before it turns to the next, and a group that becomes
    available goes to the end of the line, as observed on AWS.

    SQS looks for groups among the first messages of a queue only (S37): behind a long backlog of one group, the others
    wait until it has become shorter.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/avoid-backlog-with-the-same-message-group-id.html

    Args:
        look_ahead: How many of the first messages SQS looks at, those in flight and delayed included.
    """

    def __init__(self, look_ahead: int) -> None:
        self._look_ahead = look_ahead
        self._groups: dict[str, Group] = {}
        self._line: deque[tuple[str, Group]] = deque()
        #: The number of the latest arrival.
        self._newest = 0
        #: How many messages SQS looks at, and the numbers of those beyond, with themselves in order of arrival; of the
        #: latter some may be gone.
        self._seen = 0
        self._unseen: set[int] = set()
        self._beyond: deque[Message] = deque()

    def push(self, message: Message) -> None:
        """Add a message that has arrived, whose delay is over, or that is visible again."""
        if self._is_beyond(message):
            return
        entry: Entry = [message.number, message]
        message.entry = entry
        group = self._group(message)
        group.push(entry)
        self._list(str(message.group_id), group)

    def remove(self, message: Message) -> None:
        """A message left the queue; when it was in flight, its group may be free now."""
        if message.number in self._unseen:
            self._unseen.remove(message.number)
            return
        if message.entry is not None:
            message.entry[1] = None
            message.entry = None
        self._list(str(message.group_id), self._group(message))
        self._seen -= 1
        self._look_further()

    def hold(self, message: Message) -> None:
        """Note a message that is in flight or delayed, so that later ones of its group wait."""
        if not self._is_beyond(message):
            self._group(message).hold(message)

    def take(self, limit: int, now: float, accept: Callable[[Message], bool]) -> list[Message]:  # noqa: ARG002
        """Take up to that many messages, in order within each group."""
        taken: list[Message] = []
        seen: list[tuple[str, Group]] = []
        while self._line and len(taken) < limit:
            group_id, group = self._line.popleft()
            group.listed = False
            seen.append((group_id, group))
            while len(taken) < limit:
                message = group.pop()
                if message is None:
                    break
                if accept(message):
                    taken.append(message)
        for message in taken:
            self.hold(message)
        for group_id, group in seen:
            self._list(group_id, group)
        return taken

    def __bool__(self) -> bool:
        return bool(self._line)

    def clear(self) -> None:
        """Forget every message."""
        self._groups.clear()
        self._line.clear()
        self._seen = 0
        self._unseen.clear()
        self._beyond.clear()

    def _is_beyond(self, message: Message) -> bool:
        """Whether SQS does not look at a message yet; one with the highest number so far has just arrived."""
        number = message.number
        if number <= self._newest:
            return number in self._unseen
        self._newest = number
        if self._seen < self._look_ahead:
            self._seen += 1
            return False
        self._unseen.add(number)
        self._beyond.append(message)
        return True

    def _look_further(self) -> None:
        """Look at the next messages, now that there is room among the first."""
        while self._unseen and self._seen < self._look_ahead:
            message = self._beyond.popleft()
            if message.number not in self._unseen:
                continue
            self._unseen.remove(message.number)
            self._seen += 1
            if message.state is READY:
                self.push(message)
            else:
                self.hold(message)

    def _group(self, message: Message) -> Group:
        group_id = str(message.group_id)
        group = self._groups.get(group_id)
        if group is None:
            group = self._groups[group_id] = Group()
        return group

    def _list(self, group_id: str, group: Group) -> None:
        """Put a group at the end of the line when it has something to receive; forget it when it has nothing at all."""
        if group.first() is not None:
            if not group.listed:
                group.listed = True
                self._line.append((group_id, group))
        elif group.is_empty() and self._groups.get(group_id) is group:
            del self._groups[group_id]
