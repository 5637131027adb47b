"""Slots: nothing is received that cannot start, and queues share fairly."""

from __future__ import annotations

import threading
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sqs_tasks.worker import slots as slots_module
from sqs_tasks.worker.slots import Slots
from tests.support.polling import until


def test_one_queue_gets_what_is_free():
    """Ten at most, as it asks."""
    slots = Slots(4, [1])

    assert slots.acquire(0, 10, 0) == 4
    assert slots.acquire(0, 10, 0) == 0
    slots.release(0, 3)
    assert slots.acquire(0, 2, 0) == 2


def test_a_waiting_queue_is_woken_by_a_release():
    """No polling of its own."""
    slots = Slots(1, [1])
    slots.acquire(0, 1, 0)
    got = []
    thread = threading.Thread(target=lambda: got.append(slots.acquire(0, 1, 10)))
    thread.start()

    slots.release(0)

    thread.join(10)
    assert got == [1]


def test_every_queue_keeps_one_slot_that_no_other_can_take():
    """A queue whose tasks hang never stops the others (fault S5)."""
    slots = Slots(10, [1, 1, 1])

    assert slots.acquire(0, 10, 0) == 8
    assert slots.acquire(0, 10, 0) == 0
    assert slots.acquire(1, 10, 0) == 1
    assert slots.acquire(2, 10, 0) == 1


def test_there_is_a_slot_for_each_queue_however_few_were_asked_for():
    """A concurrency of one for three queues means three."""
    slots = Slots(1, [1, 1, 1])

    assert [slots.acquire(queue, 10, 0) for queue in range(3)] == [1, 1, 1]


def test_while_several_want_them_a_freed_slot_goes_to_who_holds_least():
    """The busy queue waits its turn."""
    slots = Slots(4, [1, 1])
    assert slots.acquire(0, 10, 0) == 3
    assert slots.acquire(1, 10, 0) == 1
    got = []
    threads = [
        threading.Thread(target=lambda queue=queue: got.append((queue, slots.acquire(queue, 10, 10))))
        for queue in (0, 1)
    ]
    for thread in threads:
        thread.start()
    while len(slots._waiting) < 2:
        threading.Event().wait(0.001)

    slots.release(0)
    threads[1].join(10)

    assert got == [(1, 1)]
    slots.release(0, 2)
    slots.release(1, 2)
    threads[0].join(10)


def test_weights_say_how_much_a_queue_may_hold_while_others_wait():
    """Three to one, and work-conserving when nobody else wants any."""
    slots = Slots(8, [3, 1])
    slots.take(1, 1)
    thread = threading.Thread(target=lambda: slots.acquire(1, 10, 10, least=7))
    thread.start()
    while not slots._waiting:
        threading.Event().wait(0.001)

    assert slots.acquire(0, 10, 0) == 6
    slots.release(0, 6)
    slots.release(1)

    thread.join(10)
    slots.release(1, 7)
    assert slots.acquire(0, 10, 0) == 7  # all but the other's own


def test_a_receive_takes_a_moments_wait_for_ten_and_no_longer_than_that(monkeypatch):
    """Short jobs end together: their slots are taken as soon as there are enough, and not when the moment is over."""
    monkeypatch.setattr(slots_module, "GATHER_SECONDS", 30)
    slots = Slots(12, [1])
    slots.take(0, 11)
    got = []
    thread = threading.Thread(target=lambda: got.append(slots.acquire(0, 10, 10)))
    thread.start()
    until(lambda: slots.held() == 12, what="the first slot is taken", every=0.001)

    for _ in range(9):
        slots.release(0)

    thread.join(10)
    assert got == [10]


def test_the_end_of_a_job_wakes_only_a_poller_that_gets_something_by_it():
    """To wake all of them each time would cost more than a short job does."""
    slots = Slots(5, [1, 1, 1])
    for queue, held in enumerate((2, 2, 1)):
        slots.take(queue, held)
    looks = Counter()
    grant = slots._grant

    def counted(queue, most):
        looks[threading.current_thread().name] += 1
        return grant(queue, most)

    slots._grant = counted
    threads = [
        threading.Thread(target=slots.acquire, args=(queue, 10, 10), kwargs={"least": least}, name=f"queue {queue}")
        for queue, least in ((1, 2), (2, 1))
    ]
    for thread in threads:
        thread.start()
    while len(slots._waiting) < 2:
        threading.Event().wait(0.001)
    before = looks["queue 1"]

    slots.release(0)  # one is not enough for queue 1
    threads[1].join(10)
    slots.held()  # whoever was woken in vain has had the lock by now

    assert looks["queue 1"] == before
    slots.release(1, 2)
    threads[0].join(10)


def test_strict_priority_makes_the_lower_queue_wait_for_the_higher_to_be_empty():
    """Hot means that the last receive brought messages."""
    slots = Slots(4, [1, 1], strict=True)
    slots.set_hot(1, hot=True)

    assert slots.acquire(1, 10, 0) == 0  # before the first receive of the higher
    assert slots.acquire(0, 10, 0) == 3

    slots.set_hot(0, hot=False)
    assert slots.acquire(1, 10, 0) == 1


def test_taken_debt_is_paid_before_anything_is_given():
    """Messages that came unasked take slots that are not there."""
    slots = Slots(2, [1])
    slots.take(0, 5)

    slots.release(0, 3)
    assert slots.acquire(0, 1, 0) == 0
    slots.release(0, 1)
    assert slots.acquire(0, 2, 0) == 1


@given(
    total=st.integers(1, 20),
    weights=st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=4),
    moves=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10), st.booleans()), max_size=40),
)
def test_never_more_out_than_there_are_and_never_a_queue_shut_out(total, weights, moves):
    """For any order of acquiring and releasing: the sum fits, and a queue that holds nothing gets one."""
    slots = Slots(total, weights)
    held = [0] * len(weights)
    for number, most, give_back in moves:
        queue = number % len(weights)
        if give_back and held[queue]:
            back = min(most, held[queue])
            slots.release(queue, back)
            held[queue] -= back
        elif not held[queue]:
            got = slots.acquire(queue, most, 0)
            assert 1 <= got <= most
            held[queue] += got

        assert sum(held) == slots.held() <= slots.total
