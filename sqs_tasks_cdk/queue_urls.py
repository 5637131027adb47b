"""The environment variable that tells a process the URLs of its queues.

``SQS_TASKS_QUEUE_URLS`` is a JSON object of logical name to URL. With it a producer or worker needs no GetQueueUrl call
before its first message; a queue that is not in it is looked up by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from aws_cdk import Annotations, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.target_variables import HasEnvironment, TargetVariables
from sqs_tasks_cdk.url_entries import ANY_QUEUE, MAX_QUEUE_URLS_BYTES, QUEUE_URLS_VARIABLE, entry_bytes

#: jsii keeps no Python object alive by itself, and what is found again in the tree must be this object, not a proxy.
_ALIVE: list[QueueUrls] = []


@runtime_checkable
class Worker(Protocol):
    """What works a queue, and may be granted the use of others: a ``LambdaWorker`` or ``FargateWorker``."""

    @property
    def role(self) -> iam.IRole:
        """Its rights."""

    @property
    def queue_environment(self) -> HasEnvironment:
        """Where it reads the URLs of its queues."""


class QueueUrls(Construct):
    """The queue URLs that one function or container knows; a child of it.

    Use :meth:`of`, never the constructor.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self._urls: dict[str, str] = {}
        self._bytes = 0
        self._is_told = False
        self._variables: dict[str, str] = {}
        _ALIVE.append(self)

    @staticmethod
    def of(target: HasEnvironment) -> QueueUrls:
        """The URLs of this function or container, empty at first."""
        found = target.node.try_find_child("QueueUrls")
        if isinstance(found, QueueUrls):
            return found
        return QueueUrls(target, "QueueUrls")  # type: ignore[arg-type]  # every jsii construct with a node is one

    def add(self, target: HasEnvironment, *, logical_name: str, url: str, queue_name: str | None) -> None:
        """Put a queue's URL into the environment of ``target``.

        A function's environment is 4 KB. When it is full, further queues with a fixed name are left out, and the
        process asks SQS for their URL once; its grant allows that. A queue with a generated name cannot be found so,
        and stays.
        """
        if logical_name in self._urls:
            return
        size = entry_bytes(logical_name, queue_name)
        if queue_name is not None and self._bytes + size > MAX_QUEUE_URLS_BYTES:
            self._tell_once()
            return
        self._urls[logical_name] = url
        self._bytes += size
        self._set_urls(target)

    def add_pattern(self, target: HasEnvironment, url: str) -> None:
        """Let one URL stand for every queue without an entry of its own: ``*`` is where its name stands."""
        self._urls[ANY_QUEUE] = url
        self._set_urls(target)

    def set_variables(self, target: HasEnvironment, variables: Mapping[str, str]) -> None:
        """Put the stage into the environment of ``target``, by which it makes the names of queues.

        Raises:
            StackError: It has another stage already: its queues are of two stages.
        """
        if not variables or self._variables == dict(variables):
            return
        if self._variables:
            raise StackError(
                f"{str(self.node.path).removesuffix('/QueueUrls')} gets queues of {_listed(self._variables)} and "
                f"queues of {_listed(variables)}; a process belongs to one stage: give it the queues of one"
            )
        self._variables = dict(variables)
        for name, value in variables.items():
            TargetVariables.of(target).set(name, value, instead="the stage of the queues that it is granted")

    def _set_urls(self, target: HasEnvironment) -> None:
        urls = Stack.of(self).to_json_string(self._urls)
        TargetVariables.of(target).set(QUEUE_URLS_VARIABLE, urls, instead="grant_send() and grant_consume()")

    def _tell_once(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        Annotations.of(self).add_info(
            f"{QUEUE_URLS_VARIABLE} holds the first {len(self._urls)} queues, which is what fits in a function's "
            "environment; the others are looked up by name. Declare enqueues=[...] on the tasks to send to fewer "
            "queues."
        )


def _listed(variables: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in variables.items())
