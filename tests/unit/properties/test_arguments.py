"""Whatever a job is called with arrives as it was written: any values, any signature."""

from __future__ import annotations

import inspect
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sqs_tasks.env import SQSEnv
from sqs_tasks.testing import drain
from sqs_tasks.wire.signature import RESERVED_NAMES
from tests.support.queues import Desk

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda n: n not in RESERVED_NAMES
)

#: Each kind of parameter, in the order a signature has them.
KINDS = [
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
]


@st.composite
def functions(draw: st.DrawFn) -> Any:
    """A function of any signature, which returns what it was called with."""
    before = draw(st.integers(0, 2))
    plain = draw(st.integers(0, 2))
    with_defaults = draw(st.integers(0, before + plain))
    positional = [f"p{n}" for n in range(before + plain)]
    parts = [
        name if n < len(positional) - with_defaults else f"{name}='default of {name}'"
        for n, name in enumerate(positional)
    ]
    if before:
        parts.insert(before, "/")
    star = draw(st.sampled_from(["", "*args"]))
    keyword = [f"k{n}" for n in range(draw(st.integers(0, 2)))]
    if star or keyword:
        parts.append(star or "*")
    parts += [name if draw(st.booleans()) else f"{name}='default of {name}'" for name in keyword]
    if draw(st.booleans()):
        parts.append("**kwargs")
    scope: dict[str, Any] = {}
    exec(f"def task({', '.join(parts)}): return locals()", scope)
    return scope["task"]


@given(st.dictionaries(names, values, max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_json_able_arguments_arrive_as_written(arguments: dict[str, Any]) -> None:
    """Through codec, message, queue, executor and processor."""
    desk, seen = Desk(), []
    queue = desk.env.queue("emails")
    queue.processor("send")(lambda **kwargs: seen.append(kwargs))
    desk.create()

    queue.add_job("send", **arguments)
    drain(queue)

    assert seen == [arguments]
    assert [type(one) for one in seen[0].values()] == [type(one) for one in arguments.values()]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_signature_gets_its_arguments_as_written(data: st.DataObject) -> None:
    """Positional-only, *args, keyword-only, **kwargs and defaults: the task sees what a plain call would show it."""
    fn = data.draw(functions())
    signature = inspect.signature(fn)
    args = data.draw(st.lists(values, max_size=5))
    keywords = st.sampled_from([*signature.parameters, "extra", "other"]).filter(lambda n: n not in ("args", "kwargs"))
    kwargs = data.draw(st.dictionaries(keywords, values, max_size=4))
    env, seen = SQSEnv(eager=True), []
    task = env.queue("emails").processor("task")(_watched(fn, seen))
    try:
        expected = fn(*args, **kwargs)
    except TypeError:
        expected = None
    # def f(p0, /, **kwargs) may be called as f(1, p0=2): two arguments of one name, which no message can carry.
    assume(not _same_name_twice(signature, args, kwargs))

    if expected is None:
        try:
            task.delay(*args, **kwargs)
        except TypeError:
            return
        raise AssertionError(f"{fn.__name__}{signature} took {args} {kwargs}")
    task.delay(*args, **kwargs)

    assert seen == [expected]


def _watched(fn: Any, seen: list[Any]) -> Any:
    def task(*args: Any, **kwargs: Any) -> None:
        seen.append(fn(*args, **kwargs))

    task.__signature__ = inspect.signature(fn)  # type: ignore[attr-defined]
    return task


def _same_name_twice(signature: inspect.Signature, args: list[Any], kwargs: dict[str, Any]) -> bool:
    only = [n for n, p in signature.parameters.items() if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    return bool(set(only) & kwargs.keys())
