"""Schedule groups, and their tags."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Mapping
from typing import Any

from sqs_tasks.local.model.account import ACCOUNT_ID
from sqs_tasks.local.scheduler import faults

#: The group that is always there.
DEFAULT_GROUP = "default"

#: Tags of one group.
MAX_TAGS = 50


class Group:
    """A schedule group.

    Args:
        name: Its name.
        region: The region in its ARN; None for the default group, which is in every region.
        now: Seconds since the epoch.

    Attributes:
        tags: Its tags.
    """

    def __init__(self, name: str, region: str | None, now: float) -> None:
        self.tags: dict[str, str] = {}
        self._name = name
        self._region = region
        self._created_at = self._modified_at = now

    def arn(self, region: str) -> str:
        """Its ARN, for somebody who asks in that region."""
        return f"arn:aws:scheduler:{self._region or region}:{ACCOUNT_ID}:schedule-group/{self._name}"

    def described(self, region: str) -> dict[str, Any]:
        """What GetScheduleGroup answers; times as seconds since the epoch."""
        return {
            "Arn": self.arn(region),
            "Name": self._name,
            "State": "ACTIVE",
            "CreationDate": self._created_at,
            "LastModificationDate": self._modified_at,
        }

    def tag(self, tags: Iterable[Mapping[str, str]]) -> None:
        """Add tags, or give them other values.

        Raises:
            SchedulerFault: They would be too many; then nothing has changed.
        """
        merged = self.tags | {tag["Key"]: tag["Value"] for tag in tags}
        if len(merged) > MAX_TAGS:
            raise faults.invalid(f"A schedule group may have {MAX_TAGS} tags; these would be {len(merged)}.")
        self.tags = merged

    def untag(self, keys: Iterable[str]) -> None:
        """Remove tags; those that are not there are ignored."""
        for key in keys:
            self.tags.pop(key, None)


class Groups:
    """All groups by name."""

    def __init__(self) -> None:
        self._groups = {DEFAULT_GROUP: Group(DEFAULT_GROUP, None, 0.0)}

    def create(self, params: Mapping[str, Any], region: str, now: float) -> str:
        """Make a group and return its ARN.

        Raises:
            SchedulerFault: The name is taken.
        """
        name = params["Name"]
        if name in self._groups:
            raise faults.conflict(f"Schedule group {name} already exists.")
        group = Group(name, region, now)
        group.tag(params.get("Tags", ()))
        self._groups[name] = group
        return group.arn(region)

    def find(self, name: str) -> Group:
        """A group by name.

        Raises:
            SchedulerFault: There is none.
        """
        group = self._groups.get(name)
        if group is None:
            raise faults.not_found(f"Schedule group {name} does not exist.")
        return group

    def of_arn(self, arn: str) -> Group:
        """A group by its ARN.

        Raises:
            SchedulerFault: There is none.
        """
        region, name = arn.split(":")[3], arn.rpartition("/")[2]
        group = self._groups.get(name)
        if group is None or group.arn(region) != arn:
            raise faults.not_found(f"Resource {arn} does not exist.")
        return group

    def delete(self, name: str) -> None:
        """Delete a group.

        Raises:
            SchedulerFault: There is none, or it is the default one.
        """
        self.find(name)
        if name == DEFAULT_GROUP:
            raise faults.invalid("The default schedule group cannot be deleted.")
        del self._groups[name]

    def items(self) -> ItemsView[str, Group]:
        """Names and groups."""
        return self._groups.items()
