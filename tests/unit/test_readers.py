"""Messages made by the other task queues themselves are read; anything else is left alone or refused, and runs nothing.

The samples in tests/events/foreign are what those libraries handed to the SQS client; see make_samples.py there.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import datetime as dt
import decimal
import json
import pathlib
import pickle
import subprocess
import sys
import uuid
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqs_tasks import readers
from sqs_tasks.codecs import CONTENT_TYPES_CODECS, JSONCodec, PickleCodec
from sqs_tasks.errors import UndecodableMessageError
from sqs_tasks.readers import CeleryReader, ForeignJob

SAFE = frozenset({"json", "json+zlib"})
WITH_PICKLE = SAFE | {"pickle", "pickle_compat"}

ALL_READERS = {
    "sqs_workers_v02": readers.sqs_workers_v02,
    "simple_worker": readers.simple_worker,
    "pyqs": readers.pyqs,
    "squids": readers.squids,
    "celery": readers.celery,
}

PLAIN = {"to": "a@example.com", "count": 3, "tags": ["x", "ü"], "nested": {"task": None}}
RICH = {
    "at": dt.datetime(2026, 5, 1, 9, 0, 0, 5, tzinfo=dt.UTC),
    "day": dt.date(2026, 5, 1),
    "price": decimal.Decimal("9.90"),
    "id": uuid.UUID("12345678-1234-5678-1234-567812345678"),
}
WHEN = dt.datetime(2026, 5, 1, 9, 0, tzinfo=dt.UTC)

FOLDER = pathlib.Path(__file__).parent.parent / "events" / "foreign"
SAMPLES: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}


def read(library: str, sample: str, *, accept: frozenset[str] = SAFE, reader: Any = None) -> ForeignJob | None:
    message = SAMPLES[library][sample]
    reader = reader or ALL_READERS[library.removesuffix("_v52")]
    return reader(message["body"], message["attributes"], accept=accept)


def job(name: str, *args: Any, **kwargs: Any) -> ForeignJob:
    return ForeignJob(job_name=name, args=args, kwargs=kwargs, context={}, job_id=None, content_type="json")


def change(message: str, **changes: Any) -> str:
    """A Celery message with keys of its envelope changed."""
    return json.dumps({**json.loads(base64.b64decode(message)), **changes})


# --- sqs-workers: our own format --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "kwargs", "context"),
    [
        ("json", PLAIN, {}),
        ("pickle", PLAIN, {}),
        ("pickle_compat", PLAIN, {}),
        ("pickle_rich", RICH, {}),
        ("json_with_context", {"limit": float("nan")}, {"request": "r-1"}),
    ],
)
def test_messages_of_sqs_workers_are_read_by_our_codecs(sample, kwargs, context):
    """The current sqs-workers needs no reader: content types and contexts are the same."""
    message = SAMPLES["sqs_workers"][sample]
    codec = CONTENT_TYPES_CODECS[message["attributes"]["ContentType"]]

    arrived = codec.deserialize(message["body"])

    assert repr(arrived) == repr(kwargs)  # NaN equals nothing
    assert codec.deserialize(message["attributes"]["JobContext"]) == context


def test_a_message_of_sqs_workers_or_ours_is_no_foreign_one():
    """Whatever its arguments are called: a job that has ``task``, ``args`` and ``kwargs`` is still that job."""
    body = JSONCodec.serialize({"task": "t", "args": [], "kwargs": {}, "task_name": "t", "task_payload": {}})
    attributes = {"JobName": "run", "ContentType": "json", "JobContext": "{}", "JobId": "1"}

    for name, reader in ALL_READERS.items():
        assert reader(body, attributes, accept=WITH_PICKLE) is None, name
    for sample in SAMPLES["sqs_workers"].values():
        for reader in ALL_READERS.values():
            assert reader(sample["body"], sample["attributes"], accept=WITH_PICKLE) is None


def test_early_sqs_workers_had_no_context():
    """Messages of 0.2 are read, in JSON and, where it is accepted, in pickle."""
    assert read("sqs_workers_v02", "json") == job("send_email", **PLAIN)
    pickled = read("sqs_workers_v02", "pickle", accept=WITH_PICKLE)
    assert pickled is not None
    assert (pickled.kwargs, pickled.content_type) == (PLAIN, "pickle")
    rich = read("sqs_workers_v02", "pickle_rich", accept=WITH_PICKLE)
    assert rich is not None
    assert rich.kwargs == RICH


def test_early_sqs_workers_wrote_no_tags():
    """What looks like one is the dictionary it was."""
    attributes = {"JobName": "run", "ContentType": "json"}
    body = json.dumps({"x": {"$set": [1]}})

    assert readers.sqs_workers_v02(body, attributes, accept=SAFE) == job("run", x={"$set": [1]})


# --- simple-worker, PyQS, SQuidS --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "sample", "expected"),
    [
        ("simple_worker", "plain", job("send_email", **PLAIN)),
        ("simple_worker", "no_arguments", job("send_email")),
        ("pyqs", "keywords", job("shop.tasks.send_email", **PLAIN)),
        ("pyqs", "positional", job("shop.tasks.send_email", "a@example.com", 3, tags=["x"])),
        ("pyqs", "custom_path", job("other_project.tasks.send")),
        ("squids", "keywords", job("shop.tasks.send_email", "a@example.com", 3, tags=["x"])),
        ("squids", "options", job("shop.tasks.send_email", "a@example.com")),
    ],
)
def test_json_formats(library, sample, expected):
    """The JSON of simple-worker, PyQS and SQuidS gives the job that was sent."""
    assert read(library, sample) == expected


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("simple_worker", {"task_name": None, "task_payload": {}}),
        ("simple_worker", {"task_name": "", "task_payload": {}}),
        ("simple_worker", {"task_name": ["t"], "task_payload": {}}),
        ("simple_worker", {"task_name": "t", "task_payload": []}),
        ("pyqs", {"task": 1, "args": [], "kwargs": {}}),
        ("pyqs", {"task": "t", "args": {}, "kwargs": {}}),
        ("pyqs", {"task": "t", "args": "ab", "kwargs": {}}),
        ("squids", {"task": "t", "args": [], "kwargs": None}),
    ],
)
def test_a_message_of_the_right_form_with_wrong_parts_is_undecodable(reader, message):
    """A message that is recognised and broken is refused, not left to another reader."""
    with pytest.raises(UndecodableMessageError):
        ALL_READERS[reader](json.dumps(message), {}, accept=SAFE)


# --- Celery -----------------------------------------------------------------------------------------------------------

CELERY = pytest.mark.parametrize("library", ["celery", "celery_v52"])
PROTOCOL = pytest.mark.parametrize("protocol", ["protocol_1", "protocol_2"])


@CELERY
@PROTOCOL
def test_celery_messages(library, protocol):
    """Protocols 1 and 2 carry name, arguments and id."""
    arrived = read(library, protocol)

    assert arrived == ForeignJob(
        job_name="shop.tasks.send_email",
        args=("a@example.com",),
        kwargs={"count": 3, "tags": ["x", "ü"]},
        context={},
        job_id=f"job-{protocol[-1]}",
        content_type="json",
    )


@CELERY
@PROTOCOL
def test_the_word_task_in_an_argument_misleads_nobody(library, protocol):
    """Fault P3 of PyQS: it took any message with "task" in its text for its own, and protocol 2 for protocol 1."""
    arrived = read(library, f"{protocol}_delay")

    assert arrived is not None
    assert arrived.kwargs == PLAIN


@CELERY
@PROTOCOL
def test_celery_times(library, protocol):
    """``eta`` and ``expires`` are read in both protocols."""
    arrived = read(library, f"{protocol}_eta")

    assert arrived is not None
    assert arrived.eta == WHEN
    assert arrived.expires == WHEN + dt.timedelta(hours=1)


@CELERY
def test_celery_times_without_a_zone_are_utc(library):
    """Celery writes UTC without saying so."""
    body = SAMPLES[library]["protocol_2_eta"]["body"]
    headers = {**json.loads(base64.b64decode(body))["headers"], "eta": "2026-05-01T09:00:00", "expires": None}

    arrived = readers.celery(change(body, headers=headers), {}, accept=SAFE)

    assert arrived is not None
    assert arrived.eta == WHEN
    assert arrived.expires is None


@CELERY
@PROTOCOL
def test_celery_pickles_are_read_where_the_consumer_accepts_pickle(library, protocol):
    """Pickle is refused until the consumer accepts it."""
    with pytest.raises(UndecodableMessageError, match="'pickle', which is not accepted by this consumer"):
        read(library, f"{protocol}_pickle")

    arrived = read(library, f"{protocol}_pickle", accept=WITH_PICKLE)

    assert arrived is not None
    assert arrived.args == (RICH["price"],)
    assert arrived.kwargs == {**RICH, "raw": b"abc", "binary": b"\x00\xff"}
    assert arrived.content_type == "pickle"


def test_values_in_the_json_of_kombu():
    """Since kombu 5.3 they are tagged, and arrive as what they were."""
    arrived = read("celery", "protocol_2_rich")

    assert arrived is not None
    assert arrived.kwargs == {**RICH, "raw": b"abc", "binary": b"\x00\xff"}


def test_values_in_the_json_of_older_kombu_are_texts():
    """As they were for its own tasks."""
    arrived = read("celery_v52", "protocol_2_rich")

    assert arrived is not None
    assert arrived.kwargs["price"] == "9.90"


@CELERY
@PROTOCOL
def test_celery_compression(library, protocol):
    """Zlib is inflated; other compressions are refused by name."""
    arrived = read(library, f"{protocol}_zlib")

    assert arrived is not None
    assert arrived.kwargs == {"text": "x" * 500}
    with pytest.raises(UndecodableMessageError, match="compressed as 'application/x-bz2'"):
        read(library, f"{protocol}_bzip2")


FOLLOW_UPS = [f"protocol_{number}_{kind}" for number in (1, 2) for kind in ("callback", "error_callback", "chord")]


@CELERY
@pytest.mark.parametrize("sample", [*FOLLOW_UPS, "protocol_2_chain"])
def test_follow_up_jobs_are_not_dropped_silently(library, sample):
    """A job whose chain goes on only in Celery stays whole unless its owner says otherwise."""
    with pytest.raises(UndecodableMessageError, match="asks for further jobs"):
        read(library, sample)
    arrived = read(library, sample, reader=CeleryReader(ignore_follow_ups=True))

    assert arrived is not None
    assert arrived.job_name == "shop.tasks.send_email"


@CELERY
@PROTOCOL
def test_a_member_of_a_group_is_a_job_like_any_other(library, protocol):
    """A group's member runs; the group itself is not kept together."""
    arrived = read(library, f"{protocol}_group_member")

    assert arrived is not None
    assert arrived.args == (1,)


@CELERY
def test_celery_without_base64_around_it(library):
    """The transport option sqs_base64_encoding, where kombu has it."""
    arrived = read(library, "protocol_2_no_base64")

    assert arrived is not None
    assert arrived.kwargs == PLAIN


@CELERY
def test_attributes_of_the_users_own_do_not_matter(library):
    """Message attributes that others have added change nothing."""
    assert read(library, "attributes") is not None


def celery_message(**changes: Any) -> str:
    return change(SAMPLES["celery"]["protocol_2"]["body"], **changes)


def encoded(content: Any) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"content-type": "application/x-yaml"}, "in 'application/x-yaml'; application/json and"),
        ({"content-type": ["application/json"]}, "in "),
        ({"headers": None}, "headers is not a dict"),
        ({"headers": {"task": None}}, "task name is not a text"),
        ({"headers": {}}, "no task, in protocol 1 or 2"),
        ({"properties": []}, "properties is not a dict"),
        ({"properties": {"body_encoding": "rot13"}}, "encoded as 'rot13'"),
        ({"body": None}, "body is not a str"),
        ({"body": "%%%"}, "body is not base64"),
        ({"body": encoded([[], {}])}, r"without \[args, kwargs, embed\]"),
        ({"body": encoded([[], {}, None])}, "follow-up jobs are not a dictionary"),
        ({"body": encoded([{}, {}, {}])}, "arguments are not a list"),
        ({"body": encoded([[], [], {}])}, "arguments have no names"),
        ({"body": encoded([[{"__type__": "os.system", "__value__": "true"}], {}, {}])}, "type 'os.system'"),
        ({"body": encoded([[{"__type__": "uuid", "__value__": "x"}], {}, {}])}, "not readable JSON"),
        ({"body": base64.b64encode(b"[[], {}, ").decode()}, "not readable JSON"),
        ({"body": base64.b64encode(b"\xff\xfe").decode()}, "not UTF-8"),
        ({"headers": {"task": "t", "eta": "soon"}}, "eta is not a time"),
        ({"headers": {"task": "t", "expires": 5}}, "expires is not a time"),
        ({"headers": {"task": "t", "compression": "application/x-gzip"}}, "not zlib data"),
        ({"headers": {"task": "t", "compression": {"x": 1}}}, "compressed as"),
    ],
)
def test_a_broken_celery_message_is_undecodable(changes, reason):
    """Each part that is missing or wrong is named in the reason."""
    with pytest.raises(UndecodableMessageError, match=reason):
        readers.celery(celery_message(**changes), {}, accept=SAFE)


def test_a_celery_body_without_base64():
    """Kombu may send the body as plain text."""
    body = celery_message(body=json.dumps([[1], {}, {}]), properties={})

    arrived = readers.celery(body, {}, accept=SAFE)

    assert arrived is not None
    assert arrived.args == (1,)


def test_a_compressed_bomb_in_a_celery_message_is_not_inflated():
    """Inflating stops at the limit."""
    data = base64.b64encode(zlib.compress(b" " * (70 * 1_048_576), 9)).decode()
    headers = {"task": "t", "compression": "application/x-gzip"}

    with pytest.raises(UndecodableMessageError, match="inflates to more than"):
        readers.celery(celery_message(body=data, headers=headers), {}, accept=SAFE)


def test_the_encoding_that_a_message_names_is_not_looked_up():
    """To look up an encoding by its name is to import a module by that name."""
    before = set(sys.modules)

    arrived = readers.celery(celery_message(**{"content-encoding": "punycode"}), {}, accept=SAFE)

    assert arrived is not None
    assert not {name for name in set(sys.modules) - before if "punycode" in name}


# --- nothing runs -----------------------------------------------------------------------------------------------------


class Canary:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return eval, ("__import__('sys').modules.__setitem__('reader_canary', 1)",)


def test_no_pickle_is_read_unless_it_was_accepted():
    """Faults P2 and W4: PyQS fell back to pickle, and sqs-workers let the producer choose it."""
    payload = pickle.dumps({"task": "t", "args": [Canary()], "kwargs": {}})
    pickle_type = "application/x-python-serialize"
    hostile = [
        (celery_message(body=base64.b64encode(payload).decode(), **{"content-type": pickle_type}), {}),
        (celery_message(body=base64.b64encode(payload).decode()), {}),
        (celery_message(body=base64.b64encode(payload).decode(), headers={}, **{"content-type": pickle_type}), {}),
        (PickleCodec.serialize({"x": Canary()}), {"JobName": "t", "ContentType": "pickle"}),
        (PickleCodec.serialize({"x": Canary()}), {"JobName": "t", "ContentType": "json"}),
        (base64.b64encode(payload).decode(), {}),
        (json.dumps({"body": base64.b64encode(payload).decode()}), {}),
    ]

    for body, attributes in hostile:
        for reader in ALL_READERS.values():
            with contextlib.suppress(UndecodableMessageError):
                assert reader(body, attributes, accept=SAFE) is None

    assert "reader_canary" not in sys.modules


def test_a_task_name_is_only_a_name():
    """Fault P1: PyQS imported and called whatever path the message gave."""
    body = json.dumps({"task": "antigravity.geohash", "args": [], "kwargs": {}})

    arrived = readers.pyqs(body, {}, accept=SAFE)

    assert arrived == job("antigravity.geohash")
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("library", [name for name in SAMPLES if name != "sqs_workers"])
def test_a_consumer_that_does_not_accept_json_gets_none_of_it(library):
    """The allow-list is one for all formats."""
    for sample in SAMPLES[library]:
        with pytest.raises(UndecodableMessageError, match="not accepted by this consumer"):
            read(library, sample, accept=frozenset({"mine"}))


def test_a_content_type_that_sqs_workers_never_had():
    """Accepting a content type does not make the old library's reader know it."""
    with pytest.raises(UndecodableMessageError, match="sqs-workers has no content type 'yaml'"):
        readers.sqs_workers_v02("{}", {"JobName": "t", "ContentType": "yaml"}, accept=frozenset({"yaml"}))


# --- anything may arrive ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_READERS)
def test_messages_of_the_others_are_left_to_their_readers(name):
    """Each knows its own; PyQS and SQuidS write the same form."""
    mine = {name, f"{name}_v52", *(("pyqs", "squids") if name in ("pyqs", "squids") else ())}

    for library, samples in SAMPLES.items():
        for sample, message in samples.items():
            if library not in mine:
                arrived = ALL_READERS[name](message["body"], message["attributes"], accept=WITH_PICKLE)
                assert arrived is None, (library, sample)


envelope_keys = ["body", "content-type", "headers", "properties", "body_encoding", "base64", "compression"]
job_keys = ["task", "args", "kwargs", "task_name", "task_payload", "id", "eta", "chain", "__type__", "__value__"]
foreign_keys = st.sampled_from([*envelope_keys, *job_keys, *readers._KOMBU_CONTENT_TYPES, *readers._KOMBU_VALUES])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | foreign_keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(foreign_keys | st.text(max_size=5), inner, max_size=5),
    max_leaves=15,
)
envelopes = st.fixed_dictionaries(
    {
        "body": (json_values.map(encoded) | json_values.map(json.dumps) | st.text() | st.none()),
        "content-type": st.sampled_from(["application/json", "application/data", None]),
        "headers": st.dictionaries(foreign_keys, json_values, max_size=4) | json_values,
        "properties": st.sampled_from([{}, {"body_encoding": "base64"}, None]),
    }
)
attribute_names = st.sampled_from(["JobName", "ContentType", "JobContext", "other"])


@given(
    st.text()
    | json_values.map(json.dumps)
    | envelopes.map(json.dumps)
    | envelopes.map(encoded)
    | st.binary().map(lambda data: base64.b64encode(data).decode()),
    st.dictionaries(attribute_names, st.text(max_size=5) | st.sampled_from(["json", "pickle"]), max_size=3),
)
@example("[" * 100_000, {})
@example("1" * 5_000, {})
@example('{"task": "t", "args": [], "kwargs": {}, "\ud800": 1}', {})
@example(base64.b64encode(b'{"body": ' * 20_000).decode(), {})
def test_any_message_is_read_left_alone_or_undecodable(body, attributes):
    """No body and no attributes make a reader raise anything else, so no message can stop a worker."""
    for reader in ALL_READERS.values():
        with contextlib.suppress(UndecodableMessageError):
            arrived = reader(body, attributes, accept=SAFE)
            assert arrived is None or isinstance(arrived, ForeignJob)


@given(st.binary(max_size=60))
def test_any_compressed_data_is_read_or_undecodable(data):
    """No compressed data, whatever its bytes, raises anything else."""
    headers = {"task": "t", "compression": "application/x-gzip"}
    for body in (data, zlib.compress(data), bz2.compress(data)):
        message = celery_message(body=base64.b64encode(body).decode(), headers=headers)
        with contextlib.suppress(UndecodableMessageError):
            readers.celery(message, {}, accept=SAFE)


def test_pickle_is_not_imported_for_json():
    """A consumer that reads JSON never loads pickle."""
    code = (
        "import sys; from sqs_tasks import readers\n"
        """print(readers.pyqs('{"task": "t", "args": [], "kwargs": {}}', {}, accept=frozenset({'json'})).job_name)\n"""
        "print([name for name in ('pickle', 'zlib') if name in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert out.split("\n")[:2] == ["t", "[]"]
