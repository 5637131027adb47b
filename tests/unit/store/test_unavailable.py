"""A store that does not answer says so in one way, with what to look at."""

from __future__ import annotations

import os

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.errors import ConfigurationError, StoreUnavailableError
from sqs_tasks.store import DynamoDBStore, SQLiteStore
from sqs_tasks.testing import in_memory
from tests.support.ports import free_ports


def test_file_that_cannot_be_opened(tmp_path):
    """The path is in the text, and what may be wrong with it."""
    store = SQLiteStore(tmp_path / "missing" / "store.db")

    with pytest.raises(StoreUnavailableError, match=r"missing/store\.db.*see that its folder exists"):
        store.get("key")


def test_endpoint_that_nobody_listens_at():
    """A refused connection is no error of boto3's own; the table is named."""
    store = DynamoDBStore("jobs", endpoint_url=f"http://127.0.0.1:{free_ports()}")
    env = SQSEnv(store=store, region_name="us-east-1", client_config={"retries": {"total_max_attempts": 1}})

    with pytest.raises(StoreUnavailableError, match="table 'jobs' did not answer get_item"):
        env.store.get("key")


class Throttled(Exception):
    """What boto3 raises."""

    def __init__(self):
        self.response = {"Error": {"Code": "ThrottlingException"}}


class ThrottledClient:
    """A client whose table is busy."""

    def put_item(self, **request):
        raise Throttled


def test_throttling_says_its_code():
    """Who reads the log sees that there is nothing to repair."""
    with pytest.raises(StoreUnavailableError, match="put_item: ThrottlingException"):
        DynamoDBStore("jobs", client=ThrottledClient()).put_if_absent("key", {"a": 1})


def test_item_that_is_too_long_is_refused_before_the_request():
    """DynamoDB's limit is known."""
    with pytest.raises(ConfigurationError, match="takes 390000"):
        DynamoDBStore("jobs", client=None).put_if_absent("key", {"a": "x" * 400_000})


def test_table_without_a_name():
    """A mistake in the settings is found where they are."""
    with pytest.raises(ConfigurationError, match=r"DynamoDBStore\(''\)"):
        DynamoDBStore("")


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_forked_child_opens_the_file_itself(tmp_path):
    """A connection must not cross a fork: both sides write afterwards, and both writes are there."""
    store = SQLiteStore(tmp_path / "store.db")
    store.put_if_absent("parent", {"a": 1})

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if store.put_if_absent("child", {"b": 2}).done and store.get("parent") else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)

    assert status == 0
    assert store.get("child") == {"b": 2}
    assert store.put_if_absent("later", {"c": 3}).done
    store.close()


def test_expired_items_leave_the_file(tmp_path):
    """A file does not grow for ever: now and then a write deletes what has expired."""
    now = 1_000_000.0
    store = SQLiteStore(tmp_path / "store.db", now=lambda: now)
    for number in range(10):
        store.put_if_absent(f"old-{number}", {"a": 1}, expires_at=now + 10)
    now += 20

    for _ in range(1_000):
        store.update("counter", {}, add={"n": 1})

    with store._file.transaction(writes=False) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)
    store.close()


def test_queues_in_memory_have_a_store_in_memory(tmp_path):
    """A test of an application reaches no table, and its clock is that of its queues."""
    given = SQLiteStore(tmp_path / "store.db")
    env = SQSEnv(store=given)

    with in_memory(env) as session:
        env.store.put_if_absent("key", {"a": 1}, expires_at=session.clock.now() + 60)
        assert env.store.get("key") == {"a": 1}
        session.advance(61)
        assert env.store.get("key") is None

    assert not (tmp_path / "store.db").exists()
    assert env.store.get("key") is None
    given.close()
