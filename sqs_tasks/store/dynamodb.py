"""The store in a table of DynamoDB; docs/store.md shows its items."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Final, Self

from sqs_tasks.errors import ConfigurationError, StoreUnavailableError
from sqs_tasks.store.protocol import ABSENT, MAX_ITEM_BYTES, Condition, Item, Value, Written, size_of, whole_seconds

#: The partition key, the only key; and the attribute that the table's time to live looks at.
KEY: Final = "pk"
EXPIRES: Final = "expires_at"

#: Where a process finds the name of the stack's table.
TABLE_VARIABLE: Final = "SQS_TASKS_STORE_TABLE"

#: Times a write is made again that met an item which has expired, or changed between two requests.
_TRIES = 5

_REFUSED = "ConditionalCheckFailedException"


class _RefusedError(Exception):
    """A condition did not hold; the item that stands in the way, as it lies there, where the endpoint says it."""

    def __init__(self, raw: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.raw = raw


class DynamoDBStore:
    """Items in one table, read consistently and written by conditions; nothing scans, and nothing reads by an index.

    Args:
        table: The table's name or ARN. Its partition key is ``pk``, a string; its time to live looks at
            ``expires_at``. None for the table of the stack, whose name processes find in SQS_TASKS_STORE_TABLE.
        client: A client of boto3 for DynamoDB; None makes one by the session of the environment.
        endpoint_url: Where DynamoDB is; None leaves it to boto3.
        now: The wall clock in seconds.
    """

    def __init__(
        self,
        table: str | None = None,
        *,
        client: Any = None,
        endpoint_url: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if table is not None and (not isinstance(table, str) or not table):
            raise ConfigurationError(
                f"DynamoDBStore({table!r}): the table must be a name or an ARN; try DynamoDBStore('jobs'), or leave it "
                "out for the table of the stack"
            )
        self.table = table
        self._given = client
        self._of_service: Callable[..., Any] | None = None
        self._endpoint_url = endpoint_url
        self._now = now

    def for_environment(self, of_service: Callable[..., Any], now: Callable[[], float]) -> Self:
        """The same table, by the client of an environment and by its clock."""
        twin = copy(self)
        twin._of_service, twin._now = of_service, now  # noqa: SLF001 - its own
        return twin

    def get(self, key: str) -> Item | None:
        """The item, or None. One read of as many units as the item has 4 KB."""
        answer = self._call("get_item", Key={KEY: {"S": key}}, ConsistentRead=True)
        return self._living(answer.get("Item"))

    def put_if_absent(self, key: str, item: Item, *, expires_at: float | None = None) -> Written:
        """Make an item, unless there is one. One write of as many units as the item has KB, made or not."""
        _check_size(key, item)
        full: dict[str, Any] = {KEY: {"S": key}, **{name: _typed(value) for name, value in item.items()}}
        if expires_at is not None:
            full[EXPIRES] = _typed(whole_seconds(expires_at))
        for _ in range(_TRIES):
            try:
                self._call(
                    "put_item",
                    Item=full,
                    ConditionExpression="attribute_not_exists(#key) OR #expires <= :now",
                    ExpressionAttributeNames={"#key": KEY, "#expires": EXPIRES},
                    ExpressionAttributeValues={":now": _typed(self._now())},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except _RefusedError as refused:
                there = self._living(refused.raw or self._raw(key))
                if there is not None:
                    return Written(done=False, item=there)
            else:
                return Written(done=True, item=dict(item))
        raise self._unsettled(key)

    def update(
        self,
        key: str,
        changes: Mapping[str, Value | None],
        *,
        add: Mapping[str, float] | None = None,
        when: Sequence[Condition] = (),
        expires_at: float | None = None,
    ) -> Written:
        """Change attributes of an item if all conditions hold. One write, made or not."""
        _check_size(key, {name: value for name, value in changes.items() if value is not None})
        expression = _Expression()
        sets = [f"{expression.name(name)} = {expression.value(v)}" for name, v in changes.items() if v is not None]
        removes = [expression.name(name) for name, value in changes.items() if value is None]
        adds = [f"{expression.name(name)} {expression.value(amount)}" for name, amount in (add or {}).items()]
        if expires_at is not None:
            sets.append(f"{expression.name(EXPIRES)} = {expression.value(whole_seconds(expires_at))}")
        clauses = [("SET ", sets), ("REMOVE ", removes), ("ADD ", adds)]
        text = " ".join(word + ", ".join(parts) for word, parts in clauses if parts)
        alive = expression.alive(self._now())
        conditions = " AND ".join([alive, *(expression.condition(one) for one in when)])
        request: dict[str, Any] = {
            "Key": {KEY: {"S": key}},
            "ConditionExpression": conditions,
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **expression.maps(),
        }
        if text:
            request["UpdateExpression"] = text
        for _ in range(_TRIES):
            try:
                answer = self._call("update_item", **request)
            except _RefusedError as refused:
                raw = refused.raw or self._raw(key)
                there = self._living(raw)
                if raw is None or there is not None:
                    return Written(done=False, item=there)
                self._bury(key)  # it has expired: nothing of it may live on in a new one
            else:
                return Written(done=True, item=_plain(answer.get("Attributes") or {}))
        raise self._unsettled(key)

    def delete(self, key: str, *, when: Sequence[Condition] = ()) -> Written:
        """Delete an item if all conditions hold. One write, made or not."""
        request: dict[str, Any] = {"Key": {KEY: {"S": key}}}
        if when:
            expression = _Expression()
            gone = f"attribute_not_exists({expression.name(KEY)})"
            expired = f"{expression.name(EXPIRES)} <= {expression.value(self._now())}"
            conditions = " AND ".join(expression.condition(one) for one in when)
            request["ConditionExpression"] = f"{gone} OR {expired} OR ({conditions})"
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            request |= expression.maps()
        try:
            self._call("delete_item", **request)
        except _RefusedError as refused:
            there = self._living(refused.raw or self._raw(key))
            return Written(done=there is None, item=there)
        return Written(done=True, item=None)

    # --- for those without the stack --------------------------------------------------------------------------------

    def create_table(self) -> None:
        """Make the table, on demand and with its time to live, and wait until it is there; for tests and first steps.

        A table that is there already stays as it is.
        """
        client, table = self._client(), self._table_name()
        try:
            client.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except client.exceptions.ResourceInUseException:
            return
        client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        client.update_time_to_live(TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": EXPIRES})

    def _table_name(self) -> str:
        """The table's name.

        Raises:
            ConfigurationError: Nobody says it.
        """
        name = self.table or os.environ.get(TABLE_VARIABLE)
        if not name:
            raise ConfigurationError(
                f"DynamoDBStore() is the table of the stack, and {TABLE_VARIABLE} does not say its name here; set it, "
                "or name a table: DynamoDBStore('jobs')"
            )
        return name

    # --- requests ---------------------------------------------------------------------------------------------------

    def _client(self) -> Any:
        if self._given is not None:
            return self._given
        if self._of_service is not None:
            return self._of_service("dynamodb", endpoint_url=self._endpoint_url)
        import boto3  # a store outside of an environment

        self._given = boto3.client("dynamodb", endpoint_url=self._endpoint_url)
        return self._given

    def _call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        """The answer.

        Raises:
            _RefusedError: A condition did not hold.
            StoreUnavailableError: DynamoDB cannot be reached, throttles, or refuses.
        """
        table = self._table_name()
        try:
            answer: Mapping[str, Any] = getattr(self._client(), operation)(TableName=table, **request)
        except Exception as error:
            response = getattr(error, "response", None)
            code = response.get("Error", {}).get("Code") if isinstance(response, Mapping) else None
            if code == _REFUSED and isinstance(response, Mapping):
                raise _RefusedError(response.get("Item")) from None
            raise StoreUnavailableError(
                f"the table {table!r} did not answer {operation}: {code or type(error).__name__}: {error}; see "
                "that it exists in this account and region, that this role may use it, and whether it is throttled"
            ) from error
        return answer

    def _raw(self, key: str) -> Mapping[str, Any] | None:
        """An item as it lies there, for endpoints that do not say what stood in the way."""
        found: Mapping[str, Any] | None = self._call("get_item", Key={KEY: {"S": key}}, ConsistentRead=True).get("Item")
        return found

    def _living(self, raw: Mapping[str, Any] | None) -> Item | None:
        if raw is None:
            return None
        expires = raw.get(EXPIRES)
        if expires is not None and float(expires["N"]) <= self._now():
            return None
        return _plain(raw)

    def _bury(self, key: str) -> None:
        expression = _Expression()
        condition = f"{expression.name(EXPIRES)} <= {expression.value(self._now())}"
        with suppress(_RefusedError):  # another has put a new one there
            self._call("delete_item", Key={KEY: {"S": key}}, ConditionExpression=condition, **expression.maps())

    def _unsettled(self, key: str) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"an item {key.partition('/')[0]!r} of table {self._table_name()!r} changed {_TRIES} times while it was "
            "written; try again"
        )

    def __repr__(self) -> str:
        return f"DynamoDBStore({self.table!r})"


class _Expression:
    """The names and values of one request's expressions, each under a placeholder: any name may be a reserved word."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, name: str) -> str:
        """The placeholder of an attribute's name."""
        return self._names.setdefault(name, f"#n{len(self._names)}")

    def value(self, value: Value) -> str:
        """The placeholder of a value."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = _typed(value)
        return placeholder

    def alive(self, now: float) -> str:
        """That there is no item which has expired."""
        name = self.name(EXPIRES)
        return f"(attribute_not_exists({name}) OR {name} > {self.value(now)})"

    def condition(self, condition: Condition) -> str:
        """One condition."""
        name, operator, value, or_absent = condition
        placeholder = self.name(name)
        absent = f"attribute_not_exists({placeholder})"
        if operator == ABSENT:
            return absent
        if value is None:
            return f"attribute_exists({placeholder})"
        text = f"{placeholder} {operator} {self.value(value)}"
        return f"({absent} OR {text})" if or_absent else text

    def maps(self) -> dict[str, Any]:
        """The keyword arguments that explain the placeholders."""
        names = {placeholder: name for name, placeholder in self._names.items()}
        given = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": self._values}
        return {name: value for name, value in given.items() if value}


def _typed(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    return {"B": value} if isinstance(value, bytes) else {"S": value}


def _plain(raw: Mapping[str, Any]) -> dict[str, Value]:
    """The attributes of an item, without its key and its expiry."""
    return {name: _value(typed) for name, typed in raw.items() if name not in (KEY, EXPIRES)}


def _value(typed: Mapping[str, Any]) -> Value:
    ((kind, value),) = typed.items()
    if kind == "N":
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return bytes(value) if kind == "B" else value


def _check_size(key: str, item: Item) -> None:
    size = size_of(key, item)
    if size > MAX_ITEM_BYTES:
        raise ConfigurationError(
            f"an item of {size} bytes is too long for a store, which takes {MAX_ITEM_BYTES}; keep large data elsewhere "
            "and its address here"
        )
