"""Which messages an event filter lets through (S41)."""

from __future__ import annotations

import json

import pytest

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.local.event_source.filter import EventFilter, filters_of


@pytest.mark.parametrize(
    ("pattern", "body", "matches"),
    [
        ({"kind": ["order"]}, {"kind": "order"}, True),
        ({"kind": ["order"]}, {"kind": "refund"}, False),
        ({"kind": ["order"]}, {}, False),
        ({"kind": ["order", "refund"]}, {"kind": "refund"}, True),
        ({"kind": ["order"], "size": ["L"]}, {"kind": "order", "size": "S"}, False),
        ({"user": {"country": ["DE"]}}, {"user": {"country": "DE", "x": 1}}, True),
        ({"user": {"country": ["DE"]}}, {"user": "DE"}, False),
        ({"paid": [True]}, {"paid": True}, True),
        ({"paid": [True]}, {"paid": 1}, False),
        ({"note": [None]}, {"note": None}, True),
        ({"note": [None]}, {}, False),
        ({"note": [""]}, {"note": ""}, True),
        ({"tags": ["red"]}, {"tags": ["blue", "red"]}, True),
        ({"tags": ["red"]}, {"tags": ["blue"]}, False),
        ({"tags": ["red"]}, {"tags": []}, False),
        ({"lines": {"sku": ["a"]}}, {"lines": [{"sku": "b"}, {"sku": "a"}]}, True),
        ({"size": [{"numeric": ["=", 5]}]}, {"size": 5.0}, True),
        ({"size": [{"numeric": [">", 0, "<=", 5]}]}, {"size": 5}, True),
        ({"size": [{"numeric": [">", 0, "<=", 5]}]}, {"size": 5.1}, False),
        ({"size": [{"numeric": [">", 0]}]}, {"size": "3"}, False),
        ({"name": [{"prefix": "a"}]}, {"name": "anna"}, True),
        ({"name": [{"prefix": "a"}]}, {"name": "hanna"}, False),
        ({"name": [{"suffix": ".png"}]}, {"name": "x.png"}, True),
        ({"name": [{"equals-ignore-case": "ANNA"}]}, {"name": "anna"}, True),
        ({"name": [{"anything-but": ["anna", "ben"]}]}, {"name": "carl"}, True),
        ({"name": [{"anything-but": ["anna", "ben"]}]}, {"name": "ben"}, False),
        ({"name": [{"anything-but": {"prefix": "a"}}]}, {"name": "anna"}, False),
        ({"name": [{"anything-but": "anna"}]}, {}, False),
        ({"name": [{"exists": True}]}, {"name": None}, True),
        ({"name": [{"exists": True}]}, {}, False),
        ({"name": [{"exists": True}]}, {"name": {"first": "a"}}, False),
        ({"name": [{"exists": False}]}, {}, True),
        ({"name": [{"exists": False}]}, {"name": "a"}, False),
        ({"user": {"name": [{"exists": False}]}}, {}, True),
        ({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, True),
        ({"$or": [{"a": [1]}, {"b": [2]}]}, {"a": 2, "b": 1}, False),
    ],
)
def test_json_patterns(pattern, body, matches):
    """The operators of Lambda's filter rules, one by one."""
    assert EventFilter({"body": pattern}).matches(json.dumps(body)) is matches


@pytest.mark.parametrize("written", ["300.0", "3.0e2"])
def test_numbers_are_compared_as_they_are_written(written):
    """300, 300.0 and 3.0e2 are three values for an equality."""
    event_filter = EventFilter('{"body": {"size": [300]}}')

    assert event_filter.matches('{"size": 300}')
    assert not event_filter.matches(f'{{"size": {written}}}')


@pytest.mark.parametrize(
    ("pattern", "body", "matches"),
    [
        pytest.param(["ping"], "ping", True, id="plain body, plain pattern"),
        pytest.param([{"prefix": "pi"}], "ping", True, id="plain body, plain operator"),
        pytest.param(["ping"], "pong", False, id="plain body, other text"),
        pytest.param({"a": [1]}, "ping", False, id="plain body, JSON pattern"),
        pytest.param(["ping"], '{"a": 1}', False, id="JSON body, plain pattern"),
        pytest.param([{"exists": True}], '{"a": 1}', False, id="JSON body, plain operator"),
    ],
)
def test_plain_and_json_do_not_match_each_other(pattern, body, matches):
    """The table of formats: a pattern of one kind drops bodies of the other."""
    assert EventFilter({"body": pattern}).matches(body) is matches


def test_pattern_may_be_spelled_as_filter_criteria():
    """An entry of FilterCriteria is taken as it stands in a template."""
    assert EventFilter({"Pattern": '{"body": {"a": [1]}}'}).matches('{"a": 1}')


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ({"attributes": {"SenderId": ["x"]}}, "the one key 'body'"),
        ({}, "the one key 'body'"),
        ("{", "not JSON"),
        ("[]", "the one key 'body'"),
        ({"body": {"a": 1}}, "neither an object nor a list"),
        ({"body": {"a": {}}}, "neither an object nor a list"),
        ({"body": {"a": []}}, "no value"),
        ({"body": {"a": [[1]]}}, "list within a list"),
        ({"body": {"a": [{"like": "x"}]}}, "unknown operator 'like'"),
        ({"body": {"a": [{"prefix": 1}]}}, "'prefix' cannot take"),
        ({"body": {"a": [{"numeric": ["~", 1]}]}}, "'numeric' cannot take"),
        ({"body": {"a": [{"numeric": [">", "1"]}]}}, "'numeric' cannot take"),
        ({"body": {"a": [{"exists": "yes"}]}}, "'exists' cannot take"),
        ({"body": {"a": [{"anything-but": []}]}}, "'anything-but' cannot take"),
        ({"body": {"a": [{"prefix": "a", "suffix": "b"}]}}, "one operator"),
        ({"body": {"$or": {"a": [1]}}}, "'\\$or' takes a list"),
        ({"body": {"a": ["x" * 5000]}}, "the limit is 4096"),
    ],
)
def test_pattern_that_aws_refuses_is_refused(pattern, problem):
    """A pattern that could never be deployed is an error."""
    with pytest.raises(ConfigurationError, match=problem):
        EventFilter(pattern)


def test_more_than_ten_filters_are_refused():
    """Ten is the quota's highest value."""
    with pytest.raises(ConfigurationError, match="the limit is 10"):
        filters_of([{"body": {"n": [n]}} for n in range(11)])
