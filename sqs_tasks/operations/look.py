"""Looking at dead letters: SQS can only receive them, so each is hidden from others until the look lets it go.

What a look costs, and SQS cannot avoid: the receive count of each letter goes up by one, and on a FIFO queue the groups
of the letters that are held are closed to others. A look that is killed lets go when its visibility timeout ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqs_tasks import limits
from sqs_tasks.client import receive_request
from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.message import ReceivedMessage
from sqs_tasks.operations.letter import Letter
from sqs_tasks.operations.letter_queue import LetterQueue
from sqs_tasks.operations.selection import Selection

#: Seconds for which a letter is hidden at least and at most, and the letters a second that a look is expected to see.
SHORTEST_SECONDS, LONGEST_SECONDS, LETTERS_PER_SECOND = 30, 900, 50

#: Receives in a row that bring nothing before a queue is believed to be empty, although SQS counts more.
_EMPTY_RECEIVES = 2


class Look:
    """Letters of one queue, each seen once; made by :func:`look`.

    Attributes:
        queue: The queue.
        seen: How many letters were received so far.
        matched: How many of them fit the selection.
        hidden: How many could not be received when the look began: in flight elsewhere, or delayed.
        counted: How many SQS counted as ready when the look began.
        is_over: Whether there was nothing more to receive.
    """

    def __init__(
        self,
        queue: LetterQueue,
        selection: Selection,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        at_once: int = limits.MAX_BATCH_ENTRIES,
    ) -> None:
        counts = queue.counts()
        self.queue = queue
        self.seen = self.matched = 0
        self.hidden = counts.in_flight + counts.delayed
        self.counted = counts.available
        self.is_over = False
        self.settlement = Settlement(
            queue_name=queue.name, client=queue.env.client, queue_url=lambda: queue.url, dead_letters=None
        )
        self._selection = selection
        self._should_stop = should_stop
        self._at_once = at_once
        self._seconds = min(SHORTEST_SECONDS + self.counted // LETTERS_PER_SECOND, LONGEST_SECONDS)
        self._held: dict[str, ReceivedMessage] = {}
        self._known: set[str] = set()

    @property
    def behind(self) -> int:
        """Letters of a FIFO queue that were not seen, as they stand behind others of their group that are held."""
        return max(self.counted - self.seen, 0) if self.is_over and self.queue.fifo else 0

    @property
    def seconds_left(self) -> Callable[[Letter], float]:
        """Gives the seconds for which a letter is still hidden."""
        return lambda letter: self._seconds - (time.monotonic() - letter.message.received_at)

    def __iter__(self) -> Iterator[Letter]:
        """The letters that fit, about in the order in which SQS keeps them."""
        now, limit, empty = self.queue.env.client.now(), self._selection.limit, 0
        while not self._should_stop() and (limit is None or self.matched < limit):
            # No letter more than needed is hidden, where every one fits.
            wanted = limit - self.matched if limit is not None and self._selection.is_everything else self._at_once
            # A poll without a wait asks some of SQS's servers only; while letters are missing, all are asked.
            wait = 1 if self.seen < self.counted and not (self.queue.fifo and self._held) else 0
            page = self._receive(min(wanted, self._at_once), wait)
            empty = 0 if page else empty + 1
            for letter in page:
                if letter.id in self._known:
                    continue
                self._known.add(letter.id)
                self.seen += 1
                if self._selection.matches(letter, now) and (limit is None or self.matched < limit):
                    self.matched += 1
                    yield letter
                    if self._should_stop():
                        break
            if empty and (self.seen >= self.counted or empty >= _EMPTY_RECEIVES or wait == 0):
                self.is_over = True
                return

    def keep(self, letter: Letter) -> None:
        """Hide a letter anew, for as long as at first: what is done with it takes a while."""
        self.settlement.change_visibility([(letter.message, self._seconds)], action="extend")
        letter.message.received_at = time.monotonic()

    def forget(self, letter: Letter) -> None:
        """Let a letter be: it is no longer in the queue."""
        self._held.pop(letter.id, None)

    def release(self) -> None:
        """Let go of all letters that are held: others can receive them at once."""
        held = list(self._held.values())
        self._held.clear()
        if held:
            self.settlement.change_visibility([(message, 0) for message in held])

    def _receive(self, count: int, wait_seconds: int) -> list[Letter]:
        request = receive_request(
            self.queue.url, count, wait_seconds=wait_seconds, visibility_timeout_seconds=self._seconds
        )
        answer = self.queue.env.client().receive_message(**request)
        letters = [self.queue.letter(raw) for raw in answer.get("Messages") or ()]
        for letter in letters:
            # No more than it takes to let go of it: bodies are up to a megabyte, and there may be 100,000 letters.
            self._held[letter.id] = ReceivedMessage(letter.id, letter.message.receipt_handle, "")
        return letters


@contextmanager
def look(
    queue: LetterQueue,
    selection: Selection | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    at_once: int = limits.MAX_BATCH_ENTRIES,
) -> Iterator[Look]:
    """The letters of a queue that fit, hidden from others for the length of the block.

    Args:
        queue: The queue.
        selection: Which letters; None for all.
        should_stop: Asked between letters.
        at_once: Letters that are received together, 1 to 10.

    Raises:
        QueueNotFoundError: There is no such queue.
    """
    found = Look(queue, selection or Selection(), should_stop=should_stop, at_once=at_once)
    try:
        yield found
    finally:
        found.release()
