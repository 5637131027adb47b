"""Batch calls: each entry ends as carried out or failed, whatever SQS answers."""

from __future__ import annotations

import pytest

from sqs_tasks.execution.settlement import Settlement
from sqs_tasks.message import OutgoingMessage, ReceivedMessage
from sqs_tasks.sending.sender import Sender
from sqs_tasks.transport.batch_call import carry_out, doubling


class Answers:
    """Gives one answer after the other, then success, and notes which entries were asked for."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, indexes):
        self.asked.append(list(indexes))
        answer = self.answers.pop(0) if self.answers else done(*indexes)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def batch(self, **request):
        """As a method of a client."""
        return self([int(entry["Id"]) for entry in request["Entries"]])


def done(*indexes):
    return {"Successful": [{"Id": str(index), "MessageId": f"sent-{index}"} for index in indexes]}


def failed(*entries):
    return [{"Code": "InternalError", **entry} for entry in entries]


def carried_out(calls, count=3, tries=2):
    return carry_out(
        count, calls, is_final=lambda why: why == {"Code": "Final", "Id": "0"}, pauses=[0] * tries, sleep=lambda _: None
    )


@pytest.mark.parametrize(
    "malformed",
    [{}, {"Id": None}, {"Id": "x"}, {"Id": "17"}, {"Id": "-1"}, {"Id": 1}],
    ids=["no id", "null", "no number", "unknown", "negative", "no text"],
)
def test_failed_entry_that_does_not_say_which_puts_only_unmentioned_ones_in_doubt(malformed):
    """Those that SQS names keep their ends, and the others are tried again."""
    calls = Answers({**done(0), "Failed": failed(malformed)})

    answer = carried_out(calls)

    assert calls.asked == [[0, 1, 2], [1, 2]]
    assert sorted(answer.successful) == [0, 1, 2]
    assert answer.failed == {}


@pytest.mark.parametrize("malformed", [None, [], "no", {"Failed": 3}, {"Successful": [None], "Failed": [None]}])
def test_answer_of_another_shape_is_tried_again(malformed):
    """Nothing can be said of any entry then; nothing is raised."""
    calls = Answers(malformed)

    assert sorted(carried_out(calls).successful) == [0, 1, 2]
    assert calls.asked == [[0, 1, 2], [0, 1, 2]]


def test_entry_in_both_lists_has_failed():
    """What is in doubt is done again."""
    calls = Answers({**done(0, 1, 2), "Failed": failed({"Id": "1"})})

    carried_out(calls)

    assert calls.asked == [[0, 1, 2], [1]]


def test_entries_keep_the_reason_of_their_last_failure():
    """Those that nothing can help are not tried again, and nobody forgets them for others that succeed later."""
    calls = Answers({**done(2), "Failed": [{"Id": "0", "Code": "Final"}, *failed({"Id": "1"})]}, OSError("no route"))

    answer = carried_out(calls)

    assert calls.asked == [[0, 1, 2], [1], [1]]
    assert answer.failed == {0: {"Id": "0", "Code": "Final"}}
    assert sorted(answer.successful) == [1, 2]


def test_pauses_double():
    """The first as given, then twice as long each."""
    assert doubling(0.1, 3) == (0.1, 0.2, 0.4)


def test_malformed_answer_to_a_delete_drops_no_other_verdict():
    """The messages behind it in the line are settled all the same."""
    calls = Answers({"Failed": failed({})})
    client = type("Client", (), {"delete_message_batch": lambda _, **request: calls.batch(**request)})()
    settlement = Settlement(
        queue_name="q", client=lambda: client, queue_url=lambda: "u", dead_letters=None, sleep=lambda _: None
    )

    assert settlement.delete([ReceivedMessage(f"m{n}", f"h{n}", "") for n in range(12)]) == []
    assert calls.asked == [list(range(10)), list(range(10)), [0, 1]]


def test_malformed_answer_to_a_send_sends_only_unmentioned_messages_again():
    """A message that SQS gave an id is in the queue."""
    calls = Answers({**done(1), "Failed": failed({})})
    client = type("Client", (), {"send_message_batch": lambda _, **request: calls.batch(**request)})()
    sender = Sender(queue_name="q", client=lambda: client, queue_url=lambda: "u", on_sent=print, sleep=lambda _: None)

    ids, errors = sender.send_chunk([OutgoingMessage(body=str(n)) for n in range(3)])

    assert calls.asked == [[0, 1, 2], [0, 2]]
    assert [str(one) for one in ids] == ["sent-0", "sent-1", "sent-2"]
    assert errors == []
