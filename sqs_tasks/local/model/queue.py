"""A queue: its messages and what happens to them.

Nothing here looks at a clock or reads a request: every method is given the time. A queue calls only the agenda.
Standard and FIFO queues differ in their backlog, and in the few places that say so.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqs_tasks.limits import MAX_IN_FLIGHT_MESSAGES, MAX_VISIBILITY_SECONDS
from sqs_tasks.local.clock.agenda import Agenda
from sqs_tasks.local.model import faults, receipt
from sqs_tasks.local.model.backlog import Backlog
from sqs_tasks.local.model.deduplication import Deduplication
from sqs_tasks.local.model.delivery import render
from sqs_tasks.local.model.fifo_backlog import FifoBacklog
from sqs_tasks.local.model.message import DELAYED, GONE, IN_FLIGHT, READY, Message, State
from sqs_tasks.local.model.poll import Poll
from sqs_tasks.local.model.receive_attempts import ReceiveAttempts
from sqs_tasks.local.model.redrive import RedriveAllowPolicy, RedrivePolicy

#: Messages in flight at which a standard queue answers OverLimit and a FIFO queue delivers nothing more (S37). As many
#: of its first messages a FIFO queue looks at for groups that can be received.
MAX_IN_FLIGHT = MAX_IN_FLIGHT_MESSAGES

#: Entries of deleted messages in the retention order are swept out when they outnumber the others and this many.
_SWEEP_AT_LEAST = 1_024


class Queue:
    """One queue.

    Args:
        name: Its name, with ``.fifo`` for a FIFO queue.
        arn: Its ARN.
        attributes: All attributes that are set, the defaults included, as checked by ``queue_attributes``.
        now: The time of creation.
        agenda: Where delays and visibility timeouts end.
        next_number: Gives numbers that grow, for the order of messages.
        dead_letter: Moves a message that was received too often; False when it has nowhere to go.
        woken: Called with this queue whenever a message becomes available while a long poll waits.
    """

    def __init__(
        self,
        *,
        name: str,
        arn: str,
        attributes: dict[str, str],
        now: float,
        agenda: Agenda,
        next_number: Callable[[], int],
        dead_letter: Callable[[Queue, Message, float], bool],
        woken: Callable[[Queue], None],
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.name = name
        self.arn = arn
        self.fifo = name.endswith(".fifo")
        self.tags: dict[str, str] = {}
        self.created_at = self.modified_at = now
        self.purged_at: float | None = None
        self.deleted = False
        self.in_flight = 0
        self.delayed = 0
        self.polls: deque[Poll] = deque()
        self.deduplication = Deduplication()
        self.attempts = ReceiveAttempts()
        self._agenda = agenda
        self._next_number = next_number
        self._dead_letter = dead_letter
        self._woken = woken
        self._max_in_flight = max_in_flight
        self._messages: dict[int, Message] = {}
        self._backlog: Backlog | FifoBacklog = FifoBacklog(max_in_flight) if self.fifo else Backlog(next_number)
        # By age: the time of sending, and the first and last number of messages that came in one go.
        self._retention: list[list[Any]] = []
        self._youngest: list[Any] = [0.0, 0, 0]
        self._tag = receipt.new_tag()
        self.attributes: dict[str, str] = {}
        self.delay_seconds = int(attributes["DelaySeconds"])
        self.set_attributes(attributes, now)

    def set_attributes(self, attributes: Mapping[str, str], now: float) -> None:
        """Take over attributes; an empty policy means none."""
        delay_before = self.delay_seconds
        self.attributes.update(attributes)
        for name in ("Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"):
            if self.attributes.get(name) == "":
                del self.attributes[name]
        self.visibility_seconds = int(self.attributes["VisibilityTimeout"])
        self.delay_seconds = int(self.attributes["DelaySeconds"])
        self.wait_seconds = int(self.attributes["ReceiveMessageWaitTimeSeconds"])
        self.retention_seconds = int(self.attributes["MessageRetentionPeriod"])
        self.max_bytes = int(self.attributes["MaximumMessageSize"])
        self.content_based = self.attributes.get("ContentBasedDeduplication") == "true"
        self.deduplicates_by_group = self.attributes.get("DeduplicationScope") == "messageGroup"
        redrive, allow = self.attributes.get("RedrivePolicy"), self.attributes.get("RedriveAllowPolicy")
        self.redrive = RedrivePolicy.parse(redrive) if redrive else None
        if self.redrive is not None:
            self.attributes["RedrivePolicy"] = self.redrive.text()
        self.redrive_allow = RedriveAllowPolicy.parse(allow) if allow else RedriveAllowPolicy()
        self.modified_at = now
        if self.fifo and self.delay_seconds != delay_before:
            self._delay_anew(now)

    # -- sending

    def admit(self, message: Message, delay_seconds: float, now: float) -> None:
        """Store a message that was sent or moved here."""
        message.number = number = self._next_number()
        message.receives_here = 0
        message.was_hidden = False
        self._messages[number] = message
        youngest = self._youngest
        if youngest[2] == number - 1 and youngest[0] == message.sent_at:
            youngest[2] = number
        else:
            self._youngest = youngest = [message.sent_at, number, number]
            heapq.heappush(self._retention, youngest)
        if delay_seconds > 0:
            self.delayed += 1
            self._wait(message, DELAYED, now + delay_seconds)
        else:
            message.state = READY
            self._backlog.push(message)
            if self.polls:
                self._woken(self)
        if message.group_id is not None and isinstance(self._backlog, Backlog):
            self._backlog.fairness.sent(message.group_id, now)

    # -- receiving

    def receive(self, poll: Poll, now: float) -> dict[str, Any] | None:
        """Answer a receive, or None when there is nothing to hand out.

        Raises:
            SQSFault: As many messages are in flight as the quota allows, or the attempt cannot be repeated.
        """
        self.expire(now)
        if poll.attempt_id is not None:
            again = self.attempts.repeat(poll.attempt_id, now)
            if again is not None:
                return self._deliver_again(again, poll, now)
        room = self._max_in_flight - self.in_flight
        if room <= 0:
            if not self.fifo:
                raise faults.over_limit(self._max_in_flight)
            return None
        messages = self.take(min(poll.limit, room), now)
        if not messages:
            return None
        seconds = self.visibility_seconds if poll.visibility_seconds is None else poll.visibility_seconds
        shown = []
        for message in messages:
            message.receive_count += 1
            message.receives_here += 1
            message.handle_number += 1
            message.received_at = now
            if message.first_received_at is None:
                message.first_received_at = now
            handle = receipt.handle(self._tag, message.number, message.handle_number)
            shown.append(render(message, handle, poll.wanted, fifo=self.fifo))
            self._wait(message, IN_FLIGHT, now + seconds)
        if poll.attempt_id is not None:
            self.attempts.remember(poll.attempt_id, messages, now)
        if not seconds:
            for message in messages:
                self._visible_again(message)
        return {"Messages": shown}

    def take(self, limit: int, now: float) -> list[Message]:
        """Put up to that many messages in flight; those received too often go to the dead-letter queue instead."""
        return self._backlog.take(limit, now, lambda message: self._accept(message, now))

    def take_out(self, now: float) -> Message | None:
        """Remove the next available message from the queue, for a move to another."""
        self.expire(now)
        taken = self._backlog.take(1, now, self._put_in_flight)
        if not taken:
            return None
        taken[0].received_at = now
        self.forget(taken[0], now)
        return taken[0]

    def serve_polls(self, now: float) -> None:
        """Answer waiting polls, the oldest first, as long as there are messages."""
        while self.polls:
            poll = self.polls[0]
            if poll.done:
                self.polls.popleft()
                continue
            if not self._backlog:
                return
            try:
                answer = self.receive(poll, now)
            except faults.SQSFault as fault:
                self.polls.popleft()
                self._finish(poll, fault)
                continue
            if answer is None:
                return
            self.polls.popleft()
            self._finish(poll, answer)

    def wait(self, poll: Poll, moment: float) -> None:
        """Let a poll wait until that moment."""
        while self.polls and self.polls[0].done:
            self.polls.popleft()
        poll.ends_at = moment
        poll.alarm = self._agenda.at(moment, self._wait_is_over, poll, last=True)
        self.polls.append(poll)

    # -- settling

    def delete(self, handle: str, now: float) -> None:
        """Delete the message of a receipt handle.

        A standard queue takes any handle it ever issued, also for a message that is visible again or gone. A FIFO queue
        takes the current one while its message is in flight.
        """
        number, receive = receipt.parse(self._tag, handle)
        message = self._messages.get(number)
        if message is None:
            return
        if self.fifo and (message.state is not IN_FLIGHT or message.handle_number != receive):
            raise faults.receipt_handle_has_expired(handle)
        self.forget(message, now)

    def change_visibility(self, handle: str, seconds: int, now: float) -> None:
        """Let the message of a receipt handle become visible that many seconds from now (S20).

        On a standard queue a message that is visible again stays visible, and that is no error.
        """
        number, receive = receipt.parse(self._tag, handle)
        message = self._messages.get(number)
        if message is None:
            raise faults.message_not_inflight(handle)
        if self.fifo and (message.state is not IN_FLIGHT or message.handle_number != receive):
            raise faults.receipt_handle_has_expired(handle)
        if message.state is READY:
            # AWS accepts a handle whose timeout is over and does nothing (observed there by LocalStack's authors, pull
            # request 9632, against the error MessageNotInflight of the documentation).
            return
        if seconds and now + seconds > message.received_at + MAX_VISIBILITY_SECONDS:
            reason = f"Total VisibilityTimeout for the message is beyond the limit [{MAX_VISIBILITY_SECONDS} seconds]."
            raise faults.invalid_value("VisibilityTimeout", seconds, reason)
        self._cancel_alarm(message)
        if seconds:
            self._wait(message, IN_FLIGHT, now + seconds)
        else:
            message.visible_at = now
            self._visible_again(message)

    # -- ends

    def forget(self, message: Message, now: float) -> None:
        """Take a message out of the queue for good."""
        self._cancel_alarm(message)
        was, message.state = message.state, GONE
        del self._messages[message.number]
        if was is IN_FLIGHT:
            self._left_flight(message, now)
        elif was is DELAYED:
            self.delayed -= 1
        if was is READY or self.fifo:
            self._backlog.remove(message)
            if self.fifo:
                self._wake()

    def expire(self, now: float) -> None:
        """Drop messages older than the retention period."""
        retention, messages = self._retention, self._messages
        if len(retention) > _SWEEP_AT_LEAST and len(retention) > 2 * len(messages):
            self._retention = retention = [
                entry for entry in retention if any(number in messages for number in range(entry[1], entry[2] + 1))
            ]
            heapq.heapify(retention)
        oldest = now - self.retention_seconds
        while retention and retention[0][0] <= oldest:
            _, first, last = heapq.heappop(retention)
            for number in range(first, last + 1):
                message = messages.get(number)
                if message is not None:
                    self.forget(message, now)

    def purge(self, now: float) -> None:
        """Drop every message, in flight and delayed ones too, and forget deduplication ids."""
        for message in self._messages.values():
            self._cancel_alarm(message)
            message.state = GONE
        self._messages.clear()
        self._retention.clear()
        self._youngest = [0.0, 0, 0]
        self._backlog.clear()
        self.deduplication.clear()
        self.attempts.clear()
        self.in_flight = self.delayed = 0
        self.purged_at = now

    def close(self, now: float) -> None:
        """The queue was deleted: drop everything and let nobody wait."""
        self.purge(now)
        self.deleted = True
        for poll in self.polls:
            self._finish(poll, faults.queue_does_not_exist())
        self.polls.clear()

    # -- numbers

    @property
    def visible(self) -> int:
        """How many messages can be received, leaving the order of groups aside."""
        return len(self._messages) - self.in_flight - self.delayed

    # -- inside

    def _accept(self, message: Message, now: float) -> bool:
        self._put_in_flight(message)
        if self.redrive is not None and message.receives_here >= self.redrive.max_receive_count:
            message.received_at = now
            return not self._dead_letter(self, message, now)
        return True

    def _put_in_flight(self, message: Message) -> bool:
        message.state = IN_FLIGHT
        self.in_flight += 1
        if isinstance(self._backlog, Backlog):
            self._backlog.fairness.received(message.group_id)
        return True

    def _deliver_again(self, messages: Sequence[Message], poll: Poll, now: float) -> dict[str, Any]:
        seconds = self.visibility_seconds if poll.visibility_seconds is None else poll.visibility_seconds
        shown = []
        for message in messages:
            handle = receipt.handle(self._tag, message.number, message.handle_number)
            shown.append(render(message, handle, poll.wanted, fifo=self.fifo))
            self._cancel_alarm(message)
            self._wait(message, IN_FLIGHT, now + seconds)
        if poll.attempt_id is not None:
            self.attempts.remember(poll.attempt_id, messages, now)
        return {"Messages": shown}

    def _wait(self, message: Message, state: State, moment: float) -> None:
        """Keep a message invisible until that moment."""
        message.state = state
        message.visible_at = moment
        message.was_hidden = True
        message.alarm = self._agenda.at(moment, self._time_is_up, message)
        if state is DELAYED:
            self._backlog.hold(message)

    def _time_is_up(self, message: Message) -> None:
        message.alarm = None
        if message.state is DELAYED:
            self.delayed -= 1
            self._make_ready(message)
        else:
            self._visible_again(message)

    def _visible_again(self, message: Message) -> None:
        self._cancel_alarm(message)
        self._left_flight(message, message.visible_at)
        self._make_ready(message)

    def _left_flight(self, message: Message, now: float) -> None:
        self.in_flight -= 1
        if isinstance(self._backlog, Backlog):
            self._backlog.fairness.released(message.group_id, max(0.0, now - message.received_at), now)

    def _make_ready(self, message: Message) -> None:
        message.state = READY
        self._backlog.push(message)
        self._wake()

    def _wake(self) -> None:
        if self.polls:
            self._woken(self)

    def _cancel_alarm(self, message: Message) -> None:
        if message.alarm is not None:
            self._agenda.cancel(message.alarm)
            message.alarm = None

    def _wait_is_over(self, poll: Poll) -> None:
        """The last moment of a poll; what became available in it is still delivered."""
        self.serve_polls(poll.ends_at)
        poll.finish({})

    def _finish(self, poll: Poll, answer: dict[str, Any] | faults.SQSFault) -> None:
        if poll.alarm is not None:
            self._agenda.cancel(poll.alarm)
        poll.finish(answer)

    def _delay_anew(self, now: float) -> None:
        """A FIFO queue's delay applies to messages that already wait; a standard queue's does not."""
        for message in [waiting for waiting in self._messages.values() if waiting.state is DELAYED]:
            self._cancel_alarm(message)
            moment = message.sent_at + self.delay_seconds
            if moment > now:
                self._wait(message, DELAYED, moment)
            else:
                self._time_is_up(message)
