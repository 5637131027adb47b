"""Looking at letters: nothing is hidden for longer than the look, and what SQS forces is said."""

from __future__ import annotations

import tracemalloc

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError, QueueNotFoundError
from sqs_tasks.operations import Selection, letter_queues, look


def test_letters_are_hidden_during_the_look_and_no_longer(shop):
    """All are in flight while they are looked at, and ready again afterwards: the counts are the same."""
    shop.bury(*range(25))

    with shop.look() as letters:
        assert len(list(letters)) == 25
        assert shop.counts() == (0, 25, 0)
        assert shop.letters.counts().total == 25, "a letter in flight is one, too"
    assert shop.counts() == (25, 0, 0)


def test_an_interrupted_look_lets_go(shop):
    """Ctrl-C between two letters leaves nothing hidden."""
    shop.bury(*range(12))

    def interrupted():
        with shop.look() as letters:
            next(iter(letters))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert shop.counts() == (12, 0, 0)


def test_a_look_that_is_killed_lets_go_within_half_a_minute(shop):
    """Nobody releases anything; the visibility timeout of the look does, not the queue's own."""
    shop.bury(*range(3))
    found = shop.look().__enter__()
    list(found)
    assert shop.counts() == (0, 3, 0)

    shop.session.advance(31)

    assert shop.counts() == (3, 0, 0)


def test_a_limit_hides_no_more_than_it_shows(shop):
    """``--limit 2`` of 10 receives two."""
    shop.bury(*range(10))

    with shop.look(Selection(limit=2)) as letters:
        assert len(list(letters)) == 2
        assert shop.counts() == (8, 2, 0)


def test_no_letter_is_seen_twice_in_one_look(shop):
    """A look that takes longer than its visibility timeout meets its letters again, and counts them once."""
    shop.bury(*range(15))

    seen = []
    with shop.look() as letters:
        for letter in letters:
            seen.append(letter.id)
            if len(seen) == 10:
                shop.session.advance(40)

    assert len(seen) == len(set(seen)) == 15


def test_a_look_keeps_no_bodies(shop):
    """A hundred letters of 100 kB are not all in memory at the same time."""
    shop.raw(*["x" * 100_000] * 100)
    tracemalloc.start()
    try:
        with shop.look() as letters:
            assert sum(1 for _ in letters) == 100
            most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert most < 5_000_000


def test_what_others_hold_is_counted_and_named(shop):
    """Letters in flight elsewhere or delayed are not seen; the look knows how many."""
    shop.bury(1, 2)
    shop.raw("later", DelaySeconds=60)
    shop.env.client().receive_message(QueueUrl=shop.letters.url)

    with shop.look() as letters:
        assert len(list(letters)) == 1
        assert letters.hidden == 2
    assert shop.letters.counts().total == 3


def test_a_fifo_group_is_seen_as_far_as_sqs_shows_it(fifo_shop):
    """SQS gives the first ten of a group, and no more while they are held; the others are counted as behind them."""
    for number in range(14):
        fifo_shop.env.client().send_message(
            QueueUrl=fifo_shop.letters.url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId=str(number)
        )

    with fifo_shop.look() as letters:
        assert len(list(letters)) == 10
        assert letters.behind == 4

    assert fifo_shop.counts() == (14, 0, 0)


def test_a_look_counts_as_a_receive_and_decides_nothing(shop):
    """The receive count goes up, as SQS has no other way; the letter stays where it is."""
    shop.bury(1)

    assert [shop.seen()[0].message.receive_count for _ in range(12)] == list(range(1, 13))
    assert shop.counts() == (1, 0, 0)


def test_queues_are_found_by_all_their_names(shop):
    """The queue's name in code or in SQS, the dead-letter queue's, or its URL; each queue once."""
    url = shop.letters.url

    for name in ("orders", "s-orders", "orders_dead", "s-orders_dead", url):
        [found] = letter_queues(shop.env, name)
        assert (found.name, found.url, found.sources) == ("s-orders_dead", url, (shop.queue,))
    assert len(letter_queues(shop.env, "orders", "orders_dead", url)) == 1
    with pytest.raises(ConfigurationError, match="no queue 'nope' with dead letters; there are orders_dead, or give"):
        letter_queues(shop.env, "nope")


def test_a_url_needs_no_registry(shop):
    """Letters of an application that is not here are seen, with what they say themselves."""
    shop.bury(3)
    env = SQSEnv(shop.session)

    [queue] = letter_queues(env, shop.letters.url)
    with look(queue) as letters:
        [letter] = letters

    assert (queue.sources, letter.task, letter.source) == ((), "ship", "orders")
    assert letter.arguments == {"number": 3}


def test_a_queue_that_is_not_there_is_said(shop):
    """By its URL."""
    [queue] = letter_queues(shop.env, shop.letters.url + "x")

    with pytest.raises(QueueNotFoundError, match=r"there is no queue at .*s-orders_deadx; check the URL"):
        queue.counts()
