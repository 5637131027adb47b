"""Items are made, changed, counted and deleted, each time whole or not at all."""

from __future__ import annotations

import pytest

from sqs_tasks.store.protocol import ABSENT, Condition, Written

rule = pytest.mark.rule

ONE = {
    "text": "grün",
    "whole": 7,
    "part": 0.25,
    "large": 10**15,
    "yes": True,
    "no": False,
    "raw": b"\x00\xff",
    "empty": "",
}


@rule("get")
def test_item_comes_back_as_it_was_put(backend):
    """Every type survives, and True is not 1."""
    assert backend.store.get(backend.key()) is None
    assert backend.store.put_if_absent(backend.key(), ONE).done

    found = backend.store.get(backend.key())

    assert found == ONE
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in ONE.items()}


@rule("put_if_absent")
def test_second_put_changes_nothing_and_says_what_is_there(backend):
    """The first wins."""
    assert backend.store.put_if_absent(backend.key(), {"run": "first"}) == Written(done=True, item={"run": "first"})

    again = backend.store.put_if_absent(backend.key(), {"run": "second"})

    assert again == Written(done=False, item={"run": "first"})
    assert backend.store.get(backend.key()) == {"run": "first"}


@rule("update")
def test_update_changes_adds_and_removes_what_it_names_alone(backend):
    """All of it at once, with the item that came of it."""
    backend.store.put_if_absent(backend.key(), {"state": "queued", "count": 1, "old": "x", "kept": "y"})

    done = backend.store.update(backend.key(), {"state": "running", "old": None}, add={"count": 2, "new": 0.5})

    expected = {"state": "running", "count": 3, "kept": "y", "new": 0.5}
    assert done == Written(done=True, item=expected)
    assert backend.store.get(backend.key()) == expected


@rule("update")
def test_update_makes_an_absent_item(backend):
    """Without a condition nobody has to put it first."""
    assert backend.store.update(backend.key(), {"a": 1}, add={"n": 1}) == Written(done=True, item={"a": 1, "n": 1})


CASES = [
    (Condition("n", "=", 5), True),
    (Condition("n", "=", 6), False),
    (Condition("n", "<", 5), False),
    (Condition("n", "<=", 5), True),
    (Condition("n", ">", 4.5), True),
    (Condition("n", ">=", 5.5), False),
    (Condition("n", "=", "5"), False),
    (Condition("n", "present"), True),
    (Condition("n", ABSENT), False),
    (Condition("missing", ABSENT), True),
    (Condition("missing", "present"), False),
    (Condition("missing", "<", 5), False),
    (Condition("missing", "<", 5, or_absent=True), True),
    (Condition("n", "<", 5, or_absent=True), False),
    (Condition("size", "=", "reserved"), True),
]


@rule("conditions")
def test_conditions_hold_alike_in_every_store(backend):
    """Comparison, absence and their combination; a name may be a reserved word of DynamoDB."""
    backend.store.put_if_absent(backend.key(), {"n": 5, "size": "reserved"})

    found = [backend.store.update(backend.key(), {"seen": 1}, when=[condition]).done for condition, _ in CASES]

    assert found == [expected for _, expected in CASES]


@rule("conditions")
def test_all_conditions_must_hold_and_the_item_in_the_way_is_returned(backend):
    """What stands in the way says what to do next, without another request."""
    backend.store.put_if_absent(backend.key(), {"n": 5, "run": "a"})

    refused = backend.store.update(backend.key(), {"n": 6}, when=[Condition("n", "=", 5), Condition("run", "=", "b")])

    assert refused == Written(done=False, item={"n": 5, "run": "a"})
    assert backend.store.update(backend.key("no"), {"n": 6}, when=[Condition("n", "=", 5)]) == Written(False, None)
    assert backend.store.get(backend.key("no")) is None


@rule("delete")
def test_delete_asks_its_conditions_of_what_is_there(backend):
    """A run deletes its own item and not that of a later one."""
    backend.store.put_if_absent(backend.key(), {"run": "later"})

    assert backend.store.delete(backend.key(), when=[Condition("run", "=", "mine")]) == Written(False, {"run": "later"})
    assert backend.store.delete(backend.key(), when=[Condition("run", "=", "later")]) == Written(True, None)
    assert backend.store.get(backend.key()) is None
    assert backend.store.delete(backend.key(), when=[Condition("run", "=", "mine")]).done, "it is gone already"
    assert backend.store.delete(backend.key()).done


@rule("expiry")
def test_expired_item_counts_as_absent_before_it_is_deleted(backend):
    """DynamoDB deletes days later: until then nothing reads it, no condition sees it, nothing of it lives on."""
    end = backend.clock() + 60
    for name in ("get", "put", "update", "delete"):
        backend.store.put_if_absent(backend.key(name), {"old": 1, "run": "a"}, expires_at=end)
    assert backend.store.get(backend.key("get")) == {"old": 1, "run": "a"}

    backend.clock.ahead += 62

    assert backend.store.get(backend.key("get")) is None
    assert backend.store.put_if_absent(backend.key("put"), {"new": 1}).done
    assert backend.store.get(backend.key("put")) == {"new": 1}
    assert not backend.store.update(backend.key("update"), {"x": 1}, when=[Condition("old", "=", 1)]).done
    assert backend.store.update(backend.key("update"), {"x": 1}, when=[Condition("old", ABSENT)]).item == {"x": 1}
    assert backend.store.get(backend.key("update")) == {"x": 1}
    assert backend.store.delete(backend.key("delete"), when=[Condition("run", "=", "b")]).done


@rule("expiry")
def test_update_moves_the_expiry_or_leaves_it(backend):
    """A lease is prolonged by naming a new moment, and a change that names none prolongs nothing."""
    backend.store.put_if_absent(backend.key(), {"n": 1}, expires_at=backend.clock() + 60)
    backend.store.update(backend.key(), {"n": 2}, expires_at=backend.clock() + 600)
    backend.store.update(backend.key(), {"n": 3})

    backend.clock.ahead += 300
    assert backend.store.get(backend.key()) == {"n": 3}

    backend.clock.ahead += 302
    assert backend.store.get(backend.key()) is None
