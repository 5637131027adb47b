"""The manifest reader takes what the registry writes and refuses the rest with the path of the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sqs_tasks_cdk.errors import ManifestError
from sqs_tasks_cdk.manifest import SCHEMA_PATH, Manifest, ManifestDeadLetterQueue, ManifestQueue, ManifestTask
from sqs_tasks_cdk.manifest_schedules import ManifestSchedule
from tests.support.manifests import manifest, queue, schedule, task

SCHEMA = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))


def _with(path: str, value: Any) -> dict[str, Any]:
    """A manifest with one field changed; ``path`` as the reader writes it, and ``...`` removes the field."""
    data = manifest(
        queue(tasks=[task(aliases=["mail"], schedules=[schedule(), schedule("emails.hourly")])]), queue("orders.fifo")
    )
    names = path.replace("]", "").replace("[", ".").split(".")
    parts: list[Any] = [int(name) if name.isdigit() else name for name in names]
    target: Any = data
    for part in parts[:-1]:
        target = target[part]
    if value is ...:
        del target[parts[-1]]
    else:
        target[parts[-1]] = value
    return data


def test_manifest_is_read_whole() -> None:
    """Every field of a manifest arrives, in the types that the constructs use."""
    data = manifest(
        queue(
            "orders.fifo",
            kind="raw",
            content_based_deduplication=True,
            delay_seconds=7,
            visibility_timeout_seconds=600,
            message_retention_seconds=1_209_600,
            max_receive_count=11,
            runs_on="fargate",
            tasks=[
                task(
                    "place",
                    aliases=["order"],
                    timeout_seconds=1.5,
                    max_attempts=8,
                    max_age_seconds=3600,
                    total_backoff_seconds=900,
                    enqueues=["orders.fifo"],
                ),
                task("cancel", timeout_seconds=None, max_attempts=None, enqueues=None),
            ],
        ),
        queue(dead_letter_queue=None, tasks=[]),
    )

    read = Manifest.from_json(json.dumps(data))

    assert read == Manifest(
        schema_version=1,
        sqs_tasks_version="0.1.0",
        app="shop.tasks:env",
        queue_prefix="shop-",
        queues=(
            ManifestQueue(
                name="orders.fifo",
                queue_name="shop-orders.fifo",
                kind="raw",
                fifo=True,
                content_based_deduplication=True,
                delay_seconds=7,
                visibility_timeout_seconds=600,
                message_retention_seconds=1_209_600,
                max_receive_count=11,
                dead_letter_queue=ManifestDeadLetterQueue(name="orders_dead.fifo", queue_name="shop-orders_dead.fifo"),
                runs_on="fargate",
                tasks=(
                    ManifestTask(
                        name="place",
                        aliases=("order",),
                        timeout_seconds=1.5,
                        max_attempts=8,
                        max_age_seconds=3600,
                        total_backoff_seconds=900,
                        enqueues=("orders.fifo",),
                    ),
                    ManifestTask(name="cancel", enqueues=None),
                ),
            ),
            ManifestQueue(
                name="emails", queue_name="shop-emails", max_receive_count=8, dead_letter_queue=None, tasks=()
            ),
        ),
    )


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("schema_version", 2, "2 is not a version this sqs_tasks_cdk reads, only 1 is"),
        ("schema_version", "1", "'1' is a text; write a whole number"),
        ("schema_version", True, "True is a boolean; write a whole number"),
        ("sqs_tasks_version", "", "the text is empty"),
        ("app", "shop.tasks", "'shop.tasks' does not name an environment; it must read 'module:attribute'"),
        ("app", "shop/tasks.py:env", "does not name an environment"),
        ("app", 1, "1 is a number; write a text"),
        ("queue_prefix", None, "None is null; write a text"),
        ("queues", {}, "{} is an object; write a list"),
        ("queues[0]", "emails", "'emails' is a text; write an object"),
        ("queues[0].name", ..., "the field is missing"),
        ("queues[0].name", "", "the text is empty"),
        ("queues[0].queue_name", "shop-e" * 15, "has 90 characters; SQS allows 80"),
        ("queues[0].queue_name", "shop-e mails", "characters other than letters"),
        ("queues[0].queue_name", "shop-emails.fifo", "ends with '.fifo' but fifo is false; set fifo to true or try"),
        ("queues[1].queue_name", "shop-orders", "must end with '.fifo' for a FIFO queue; try 'shop-orders.fifo'"),
        ("queues[0].queue_name", "emails", "does not begin with the queue_prefix 'shop-'"),
        ("queues[0].kind", "jobs", "'jobs' is not one of 'job', 'raw'"),
        ("queues[0].fifo", "yes", "'yes' is a text; write true or false"),
        ("queues[0].content_based_deduplication", True, "only FIFO queues deduplicate"),
        ("queues[0].delay_seconds", 901, "901 is out of range; allowed is 0 to 900"),
        ("queues[0].delay_seconds", 1.5, "1.5 is a number; write a whole number"),
        ("queues[0].visibility_timeout_seconds", 43_201, "43201 is out of range; allowed is 0 to 43200"),
        ("queues[0].visibility_timeout_seconds", "30", "'30' is a text; write a whole number"),
        ("queues[0].message_retention_seconds", 59, "59 is out of range; allowed is 60 to 1209600"),
        ("queues[0].max_receive_count", 0, "0 is out of range; allowed is 1 to 1000"),
        ("queues[0].max_receive_count", None, "None is null; write a whole number"),
        ("queues[0].dead_letter_queue", "emails_dead", "'emails_dead' is a text; write an object"),
        ("queues[0].dead_letter_queue.name", ..., "the field is missing"),
        ("queues[1].dead_letter_queue.queue_name", "shop-dead", "must end with '.fifo' for a FIFO queue"),
        ("queues[0].dead_letter_queue.queue_name", "shop-emails", "dead letters would go in a circle"),
        ("queues[0].dead_letter_queue.fifo", True, "there is no field 'fifo'"),
        ("queues[0].runs_on", "ec2", "'ec2' is not one of 'lambda', 'fargate'"),
        ("queues[0].tasks", None, "None is null; write a list"),
        ("queues[0].tasks[0].name", 7, "7 is a number; write a text"),
        ("queues[0].tasks[0].aliases", None, "None is null; write a list"),
        ("queues[0].tasks[0].aliases[0]", 7, "7 is a number; write a text"),
        ("queues[0].tasks[0].timeout_seconds", 0, "0 is out of range; allowed is more than 0 seconds, or null"),
        ("queues[0].tasks[0].timeout_seconds", float("nan"), "nan is out of range"),
        ("queues[0].tasks[0].timeout_seconds", False, "False is a boolean; write a number of seconds or null"),
        ("queues[0].tasks[0].max_attempts", 0, "0 is out of range; allowed is 1 to 1000"),
        ("queues[0].tasks[0].max_age_seconds", -1, "-1 is out of range"),
        ("queues[0].tasks[0].total_backoff_seconds", -1, "-1 is out of range; allowed is 0 or more seconds"),
        ("queues[0].tasks[0].enqueues", "emails", "'emails' is a text; write a list"),
        ("queues[0].tasks[0].enqueues", ["email"], "'email' is not a queue of this registry, did you mean 'emails'?"),
        ("queues[0].tasks[0].schedules", None, "None is null; write a list"),
        ("queues[0].tasks[0].schedules[0].name", "a b", "'a b' is not 1 to 64 letters, digits"),
        ("queues[0].tasks[0].schedules[0].name", "emails.hourly", "is the name of another schedule already"),
        ("queues[0].tasks[0].schedules[0].expression", "0 2 * * ? *", "is not cron(...), rate(...) or at(...)"),
        ("queues[0].tasks[0].schedules[0].timezone", ..., "the field is missing"),
        ("queues[0].tasks[0].schedules[0].flexible_minutes", 0, "0 is out of range; allowed is 1 to 1440"),
        ("queues[0].tasks[0].schedules[0].period_seconds", 59, "59 is out of range; allowed is at least 60"),
        ("queues[0].tasks[0].schedules[0].request", "{}", "'{}' is a text; write an object"),
        ("queues[0].tasks[0].schedules[0].request", {}, "the request has no MessageBody"),
        ("queues[0].tasks[0].schedules[0].surprise", 1, "there is no field 'surprise'"),
    ],
)
def test_bad_field_is_refused_with_its_path(path: str, value: Any, says: str) -> None:
    """A wrong field is named by its path, with the value, what is allowed and what to do."""
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(_with(path, value))

    assert says in str(caught.value)
    # A contradiction inside a queue may be told of the field that has to change.
    assert caught.value.path.partition("[")[0] == path.partition("[")[0]
    assert str(caught.value).startswith(f"manifest: {caught.value.path}: ")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("queue", "there is no field 'queue', did you mean 'queues'?"),
        ("queues[0].visibility_timeout", "did you mean 'visibility_timeout_seconds'?"),
        ("queues[0].tasks[0].timeout", "did you mean 'timeout_seconds'?"),
    ],
)
def test_unknown_field_is_refused_with_the_nearest(path: str, says: str) -> None:
    """A misspelt field does not pass as a default."""
    with pytest.raises(ManifestError, match="there is no field") as caught:
        Manifest.from_dict(_with(path, 1))

    assert says in str(caught.value)
    assert caught.value.path == path


def test_second_queue_of_a_name_is_refused() -> None:
    """Two queues cannot share a logical name or a name in SQS."""
    with pytest.raises(ManifestError, match=r"'emails' is already the name of queues\[0\]"):
        Manifest.from_dict(manifest(queue(), queue(queue_name="shop-other")))
    with pytest.raises(ManifestError, match=r"'shop-emails' is already the queue_name of queues\[0\]"):
        Manifest.from_dict(manifest(queue(), queue("other", queue_name="shop-emails")))


def test_task_names_and_aliases_are_unique_on_a_queue() -> None:
    """An alias that another task already answers to is refused."""
    data = manifest(queue(tasks=[task("send_email"), task("send_mail", aliases=["send_email"])]))

    with pytest.raises(ManifestError, match="'send_email' already names task 'send_email' on queue 'emails'"):
        Manifest.from_dict(data)


def test_dead_letters_in_a_circle_are_refused() -> None:
    """Queues that are each other's dead-letter queue are told as a circle."""
    first = queue("first", dead_letter_queue={"name": "second", "queue_name": "shop-second"})
    second = queue("second", dead_letter_queue={"name": "first", "queue_name": "shop-first"})

    with pytest.raises(ManifestError, match="shop-first -> shop-second -> shop-first"):
        Manifest.from_dict(manifest(first, second))


def test_one_dead_letter_queue_has_one_name() -> None:
    """Two registrations that mean the same dead-letter queue must call it the same."""
    emails = queue("emails", dead_letter_queue={"name": "dead", "queue_name": "shop-dead"})
    images = queue("images", dead_letter_queue={"name": "graves", "queue_name": "shop-dead"})

    with pytest.raises(ManifestError, match="one logical name stands for one queue"):
        Manifest.from_dict(manifest(emails, images))


def test_dead_letter_queue_in_the_registry_keeps_its_name() -> None:
    """A dead-letter queue that is registered too must be called by its registered name."""
    emails = queue("emails", dead_letter_queue={"name": "graves", "queue_name": "shop-dead"})
    dead = queue("dead", dead_letter_queue=None, kind="raw", tasks=[])

    with pytest.raises(ManifestError, match="is the queue registered as 'dead', not 'graves'"):
        Manifest.from_dict(manifest(emails, dead))


def test_file_is_read_and_its_absence_explained(tmp_path: Path) -> None:
    """A manifest comes from a file, and a missing file says how to write one."""
    path = tmp_path / "tasks.json"
    with pytest.raises(ManifestError, match=r"No such file or directory.*sqs-tasks manifest module:env"):
        Manifest.from_file(path)

    path.write_text(json.dumps(manifest()))

    assert Manifest.read(path) == Manifest.read(str(path)) == Manifest.read(manifest())
    assert Manifest.read(Manifest.read(path)).queue("emails").queue_name == "shop-emails"


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_other_json_is_refused(text: str) -> None:
    """What is not a JSON object is not a manifest."""
    with pytest.raises(ManifestError, match=r"not JSON|where an object is expected"):
        Manifest.from_json(text)


def test_unknown_queue_is_answered_with_the_nearest() -> None:
    """Asking for a queue by a wrong name names the one that was meant."""
    with pytest.raises(ManifestError, match="no queue is named 'email', did you mean 'emails'"):
        Manifest.read(manifest()).queue("email")


@pytest.mark.parametrize(
    "data",
    [
        manifest(),
        manifest(app=None),
        manifest(queue(dead_letter_queue=None, visibility_timeout_seconds=30, tasks=[])),
        manifest(queue("orders.fifo", runs_on="fargate", tasks=[task(total_backoff_seconds=0, enqueues=None)])),
        manifest(queue(tasks=[task(schedules=[schedule(start="2026-05-02T12:00:00+00:00", flexible_minutes=5)])])),
    ],
)
def test_schema_accepts_what_the_reader_accepts(data: dict[str, Any]) -> None:
    """The JSON Schema and the reader agree on good manifests."""
    Manifest.from_dict(data)

    SCHEMA.validate(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 2),
        ("app", "shop.tasks"),
        ("queues[0].name", ...),
        ("queues[0].queue_name", "a" * 81),
        ("queues[0].kind", "jobs"),
        ("queues[0].delay_seconds", 901),
        ("queues[0].visibility_timeout_seconds", 43_201),
        ("queues[0].message_retention_seconds", 59),
        ("queues[0].max_receive_count", 0),
        ("queues[0].dead_letter_queue", "emails_dead"),
        ("queues[0].runs_on", "ec2"),
        ("queues[0].surprise", 1),
        ("queues[0].tasks[0].timeout_seconds", 0),
        ("queues[0].tasks[0].max_attempts", 0),
        ("queues[0].tasks[0].enqueues", "emails"),
        ("queues[0].tasks[0].schedules", None),
        ("queues[0].tasks[0].schedules[0].name", "a b"),
        ("queues[0].tasks[0].schedules[0].expression", "0 2 * * ? *"),
        ("queues[0].tasks[0].schedules[0].enabled", 1),
        ("queues[0].tasks[0].schedules[0].period_seconds", 59),
        ("queues[0].tasks[0].schedules[0].request", {}),
        ("queues[0].tasks[0].schedules[0].surprise", 1),
    ],
)
def test_schema_refuses_what_the_reader_refuses(path: str, value: Any) -> None:
    """The JSON Schema and the reader agree on bad manifests."""
    data = _with(path, value)
    with pytest.raises(ManifestError):
        Manifest.from_dict(data)

    assert not SCHEMA.is_valid(data)


def test_schema_describes_every_field() -> None:
    """Each field of the dataclasses is in the schema, and the other way round."""
    definitions = json.loads(SCHEMA_PATH.read_text())
    described = {
        Manifest: definitions["properties"],
        ManifestQueue: definitions["$defs"]["queue"]["properties"],
        ManifestTask: definitions["$defs"]["task"]["properties"],
        ManifestDeadLetterQueue: definitions["$defs"]["dead_letter_queue"]["properties"],
        ManifestSchedule: definitions["$defs"]["schedule"]["properties"],
    }

    for kind, properties in described.items():
        assert set(properties) == set(kind.__dataclass_fields__), kind


def test_documented_example_is_a_manifest() -> None:
    """The example in the documentation is accepted by the reader and by the schema."""
    text = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text()
    example = text.partition("## An example")[2].partition("```json")[2].partition("```")[0]

    SCHEMA.validate(json.loads(example))
    assert Manifest.from_json(example).queue("emails").tasks[0].name == "send_email"


def test_documentation_names_every_field() -> None:
    """Each field of the format has a line in the documentation."""
    text = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text()

    for kind in (Manifest, ManifestQueue, ManifestTask, ManifestSchedule):
        for name in kind.__dataclass_fields__:
            assert f"| `{name}` |" in text, name
