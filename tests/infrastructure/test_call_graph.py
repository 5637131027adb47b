"""Who adds jobs to which queue, and where that comes round (R5, R6)."""

from __future__ import annotations

from sqs_tasks_cdk import call_graph
from sqs_tasks_cdk.manifest import Manifest
from tests.support.manifests import manifest, queue, task


def _registry(**edges: list[str] | None) -> Manifest:
    return Manifest.read(manifest(*(queue(name, tasks=[task(enqueues=to)]) for name, to in edges.items())))


def test_r5_declared_targets_are_the_only_ones() -> None:
    """R5: a task that declares where it adds jobs gets no other queue."""
    registry = _registry(emails=["images"], images=[], films=[])

    assert call_graph.targets(registry, registry.queue("emails")) == ["images"]
    assert call_graph.targets(registry, registry.queue("images")) == []


def test_r5_silent_task_may_send_anywhere() -> None:
    """R5: a task that does not say may add jobs to every queue, its own included."""
    registry = _registry(emails=None, images=[])

    assert call_graph.targets(registry, registry.queue("emails")) == ["emails", "images"]


def test_r6_loops_are_found_at_any_distance() -> None:
    """R6: a queue that reaches itself directly or through others is a loop; one that only leads into a loop is not."""
    registry = _registry(start=["a"], a=["b"], b=["c"], c=["a"], alone=["alone"], end=[])

    assert call_graph.loops(registry) == {"a", "b", "c", "alone"}


def test_r6_silence_makes_no_loop() -> None:
    """R6: a task that does not say where it adds jobs does not switch Lambda's guard off."""
    assert call_graph.loops(_registry(emails=None)) == set()


def test_r6_jobs_that_go_on_by_copies_make_a_loop() -> None:
    """R6: a function that sends copies to its own queue is one that feeds itself; it may send nowhere else for that."""
    registry = Manifest.read(manifest(queue("emails", tasks=[task(postpones=True)]), queue("images")))

    assert call_graph.loops(registry) == {"emails"}
    assert call_graph.targets(registry, registry.queue("emails")) == []
