"""Letters in a file, and back."""

from __future__ import annotations

import io
import json

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.operations import Selection, drop, export_letters, import_letters, retry
from tests.support.scripted_client import ScriptedClient, raising


def exported(shop, selection=None):
    file = io.StringIO()
    report = export_letters(shop.letters, file, selection)
    return report, file.getvalue().splitlines()


def test_letters_come_back_as_they_were(shop):
    """Bodies, attributes of all types and what was said of their end; they stay until they are dropped."""
    shop.bury(1, 2)
    shop.raw("x", MessageAttributes={"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}})
    report, lines = exported(shop)
    assert (report.done, shop.counts()) == (3, (3, 0, 0))
    before = shop.seen()
    drop(shop.letters)

    assert import_letters(shop.letters, lines).done == 3

    after = shop.seen()
    for old, new in zip(before, after, strict=True):
        assert new.message.body == old.message.body
        assert new.message.message_attributes == old.message.message_attributes
    assert [one.reason for one in after] == [one.reason for one in before]
    assert retry(shop.letters, Selection(tasks=("ship",))).done == 2
    assert shop.work() == [1, 2]


def test_an_import_goes_on_where_it_was_stopped(shop):
    """Each line is named before it is sent."""
    shop.bury(1, 2, 3)
    _, lines = exported(shop)
    drop(shop.letters)
    named = []

    report = import_letters(shop.letters, lines, before=named.append, should_stop=lambda: len(named) == 2)
    assert (report.done, report.stopped, named) == (2, True, [1, 2])
    import_letters(shop.letters, lines, start=named[-1] + 1)

    assert sorted(one.arguments["number"] for one in shop.seen()) == [1, 2, 3]


@pytest.mark.parametrize("line", ["{", "[]", '{"body": 1, "message_id": "x"}', '{"message_id": "x"}'])
def test_a_line_that_is_no_letter_is_named(shop, line):
    """What came before it has been sent; with --start the rest follows."""
    shop.bury(1)
    _, lines = exported(shop)
    drop(shop.letters)

    with pytest.raises(ConfigurationError, match=r"line 2 is no letter .* go on with --start 2"):
        import_letters(shop.letters, [*lines, line])

    assert shop.counts() == (1, 0, 0)


def test_a_fifo_letter_that_is_imported_twice_is_there_once(fifo_shop):
    """SQS drops the second within five minutes."""
    fifo_shop.bury(1)
    _, lines = exported(fifo_shop)
    drop(fifo_shop.letters)

    import_letters(fifo_shop.letters, lines)
    import_letters(fifo_shop.letters, lines)

    assert fifo_shop.counts() == (1, 0, 0)


def test_a_file_has_a_line_of_json_for_each_letter(shop):
    """With all that SQS says of it."""
    shop.bury(1)

    [line] = exported(shop)[1]

    row = json.loads(line)
    assert (row["queue"], row["body"]) == ("s-orders_dead", '{"number": 1}')
    assert row["attributes"]["FailureType"]["StringValue"] == "LookupError"
    assert "SentTimestamp" in row["system_attributes"]


def test_an_import_ends_at_the_line_that_got_no_answer(shop):
    """It is named: it may be there or not."""
    shop.bury(1, 2)
    _, lines = exported(shop)
    drop(shop.letters)
    client = ScriptedClient(shop.session.client("sqs"))
    client.script("send_message", lambda request: None, raising(ConnectionResetError("cut")))

    with shop.env.connected_to(client):
        report = import_letters(shop.letters, lines)

    assert report.done == 1
    assert report.problem.startswith("line 2: no answer from SQS to its send")
    assert shop.counts() == (1, 0, 0)
