# ruff: noqa: ARG002  every action is called with its parameters, its caller and the time, and few need all three
"""The actions on queues: their life, attributes, tags and permissions."""

from __future__ import annotations

from sqs_tasks.local.model import faults, pages, permissions, queue_attributes, validation
from sqs_tasks.local.model.account import ACCOUNT_ID, Account, Answer, Caller, Params
from sqs_tasks.local.model.redrive import RedrivePolicy

#: Seconds after a delete before the name may be used again, and after a purge before the next: AWS's waits.
WAIT_AFTER_DELETE_SECONDS = WAIT_AFTER_PURGE_SECONDS = 60.0


class QueueActions:
    """Actions on queues, each as boto3 has it."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def create_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        """Create a queue, or return the one that is there with these attributes."""
        name = params["QueueName"]
        given = dict(params.get("Attributes") or {})
        asked = given.get("FifoQueue", "false")
        if asked not in ("true", "false"):
            raise faults.invalid_attribute_value("FifoQueue")
        fifo = asked == "true"
        if not fifo:
            given.pop("FifoQueue", None)
        validation.queue_name(name, fifo=fifo)
        checked = queue_attributes.checked(given, fifo=fifo)
        existing = self._account.queues.get(name)
        if existing is not None:
            for attribute, value in checked.items():
                if existing.attributes.get(attribute, "") != _normal(attribute, value):
                    raise faults.queue_name_exists(attribute)
            return {"QueueUrl": self._account.url(name, caller)}
        self._check_not_deleted_recently(name, now)
        attributes = {**queue_attributes.DEFAULTS, **(queue_attributes.FIFO_DEFAULTS if fifo else {}), **checked}
        queue_attributes.check_together(attributes)
        self._account.check_dead_letter_queue(self._account.arn(name, caller), attributes, fifo=fifo)
        queue = self._account.open(name, attributes, caller, now)
        queue.tags.update(params.get("tags") or {})
        return {"QueueUrl": self._account.url(name, caller)}

    def delete_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        """Delete a queue with everything in it."""
        queue = self._account.queue(params)
        del self._account.queues[queue.name]
        self._account.deleted_at[queue.name] = now
        queue.close(now)
        return {}

    def get_queue_url(self, params: Params, caller: Caller, now: float) -> Answer:
        """The URL of a queue."""
        queue = self._account.queues.get(params["QueueName"])
        if queue is None or params.get("QueueOwnerAWSAccountId", ACCOUNT_ID) != ACCOUNT_ID:
            raise faults.queue_does_not_exist()
        return {"QueueUrl": self._account.url(queue.name, caller)}

    def list_queues(self, params: Params, caller: Caller, now: float) -> Answer:
        """The URLs of queues whose names begin alike, in pages."""
        prefix = params.get("QueueNamePrefix") or ""
        names = sorted(name for name in self._account.queues if name.startswith(prefix))
        return pages.of_queues("QueueUrls", names, params, caller)

    def get_queue_attributes(self, params: Params, caller: Caller, now: float) -> Answer:
        """Attributes of a queue; none when none were asked for."""
        queue = self._account.queue(params)
        wanted = params.get("AttributeNames") or ()
        for name in wanted:
            if name not in queue_attributes.KNOWN:
                raise faults.invalid_attribute_name(name)
        queue.expire(now)
        shown = {
            **queue.attributes,
            "ApproximateNumberOfMessages": str(queue.visible),
            "ApproximateNumberOfMessagesDelayed": str(queue.delayed),
            "ApproximateNumberOfMessagesNotVisible": str(queue.in_flight),
            "CreatedTimestamp": str(int(queue.created_at)),
            "LastModifiedTimestamp": str(int(queue.modified_at)),
            "QueueArn": queue.arn,
        }
        if "All" not in wanted:
            shown = {name: shown[name] for name in wanted if name in shown}
        return {"Attributes": shown} if shown else {}

    def set_queue_attributes(self, params: Params, caller: Caller, now: float) -> Answer:
        """Change attributes; all of them or, when one is refused, none."""
        queue = self._account.queue(params)
        checked = queue_attributes.checked(params["Attributes"], fifo=queue.fifo)
        merged = {**queue.attributes, **checked}
        queue_attributes.check_together(merged)
        if "RedrivePolicy" in checked:
            self._account.check_dead_letter_queue(queue.arn, checked, fifo=queue.fifo)
        queue.set_attributes(checked, now)
        return {}

    def purge_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        """Delete every message, in flight and delayed ones too."""
        queue = self._account.queue(params)
        recently = queue.purged_at is not None and now - queue.purged_at < WAIT_AFTER_PURGE_SECONDS
        if self._account.enforce_waits and recently:
            raise faults.purge_in_progress(queue.name)
        queue.purge(now)
        return {}

    def tag_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        """Add tags or overwrite them."""
        self._account.queue(params).tags.update(params["Tags"])
        return {}

    def untag_queue(self, params: Params, caller: Caller, now: float) -> Answer:
        """Remove tags; unknown ones are ignored."""
        tags = self._account.queue(params).tags
        for key in params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def list_queue_tags(self, params: Params, caller: Caller, now: float) -> Answer:
        """The tags of a queue."""
        tags = self._account.queue(params).tags
        return {"Tags": dict(tags)} if tags else {}

    def add_permission(self, params: Params, caller: Caller, now: float) -> Answer:
        """Add a statement to the queue's policy."""
        queue = self._account.queue(params)
        validation.label(params["Label"])
        policy = permissions.add(
            queue.attributes.get("Policy", ""),
            arn=queue.arn,
            label=params["Label"],
            accounts=params["AWSAccountIds"],
            actions=params["Actions"],
        )
        queue.set_attributes({"Policy": policy}, now)
        return {}

    def remove_permission(self, params: Params, caller: Caller, now: float) -> Answer:
        """Remove a statement from the queue's policy."""
        queue = self._account.queue(params)
        policy = permissions.remove(queue.attributes.get("Policy", ""), params["Label"])
        queue.set_attributes({"Policy": policy}, now)
        return {}

    def _check_not_deleted_recently(self, name: str, now: float) -> None:
        deleted_at = self._account.deleted_at.pop(name, None)
        if self._account.enforce_waits and deleted_at is not None and now - deleted_at < WAIT_AFTER_DELETE_SECONDS:
            self._account.deleted_at[name] = deleted_at
            raise faults.queue_deleted_recently()


def _normal(attribute: str, value: str) -> str:
    return RedrivePolicy.parse(value).text() if attribute == "RedrivePolicy" and value else value
