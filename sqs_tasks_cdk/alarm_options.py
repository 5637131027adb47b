"""What can be decided about an alarm: its threshold, its name, how urgent it is, and what its reader should do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.manifest_fields import nearest

#: Somebody has to look now; somebody has to look today.
CRITICAL: Final = "critical"
WARNING: Final = "warning"

#: What is not critical. A loop or a throttle costs money or time, and jobs are still done.
_WARNINGS: Final = frozenset({"time-to-drain", "duration", "throttles", "recursion", "rejected"})

#: The page that says what to do, with an anchor for each alarm.
DEFAULT_RUNBOOK: Final = "docs/alarms.md of sqs_tasks, "

#: Characters of an alarm's name.
_MAX_NAME_CHARS: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOptions:
    """What to change of an alarm; what is left out stays as it is.

    Attributes:
        threshold: What its metric is compared with, in the unit of the metric.
        periods: Over how many periods it looks.
        datapoints: How many of those have to be over the threshold; all of them when left out.
        severity: How urgent it is, ``"critical"`` or ``"warning"``, or a word of your own.
        runbook: Where its reader finds what to do; goes into its description.
        alarm_name: Its name in CloudWatch.
    """

    threshold: float | None = None
    periods: int | None = None
    datapoints: int | None = None
    severity: str | None = None
    runbook: str | None = None
    alarm_name: str | None = None

    def over(self, general: AlarmOptions) -> AlarmOptions:
        """These options, with those of ``general`` where these say nothing."""
        own = {item.name: value for item in fields(self) if (value := getattr(self, item.name)) is not None}
        return replace(general, **own)


@dataclass(slots=True, kw_only=True)
class AlarmPolicy:
    """Which alarms there are, what they are called, and whom they notify.

    An alarm is addressed by what it watches (``"age"``, every queue's) or by its whole name (``"emails age"``).

    Attributes:
        actions: What an alarm of a severity does when it starts and when it ends.
        declined: Why alarms notify nobody, or None.
        options: Options by address; those of a name win over those of a kind, one by one.
        without: The addresses of alarms that are left out.
        name_prefix: What names in CloudWatch begin with; generated names when None.
        runbook_url: The address of the user's own runbook, to which ``#age`` is added.
    """

    actions: Callable[[str], Sequence[cloudwatch.IAlarmAction]]
    declined: str | None = None
    options: Mapping[str, AlarmOptions] = field(default_factory=dict)
    without: Sequence[str] = ()
    name_prefix: str | None = None
    runbook_url: str | None = None
    _seen: set[str] = field(default_factory=set, init=False)

    def of(self, name: str) -> AlarmOptions | None:
        """The options of an alarm, with a severity and a runbook in any case; None when it is left out.

        Raises:
            StackError: The name is too long, or nobody is notified of this severity.
        """
        kind = name.rpartition(" ")[2]
        self._seen.update((kind, name))
        if kind in self.without or name in self.without:
            return None
        general = AlarmOptions(
            severity=WARNING if kind in _WARNINGS else CRITICAL,
            runbook=f"{self.runbook_url or DEFAULT_RUNBOOK}#{kind}",
            alarm_name=None if self.name_prefix is None else f"{self.name_prefix}{name.replace(' ', '-')}",
        )
        for address in (kind, name):
            general = self.options.get(address, AlarmOptions()).over(general)
        if general.alarm_name is not None and len(general.alarm_name) > _MAX_NAME_CHARS:
            raise StackError(
                f"the name of alarm {name!r} has {len(general.alarm_name)} characters; CloudWatch allows "
                f"{_MAX_NAME_CHARS}; shorten alarm_name_prefix"
            )
        if self.declined is None and not self.actions(general.severity or CRITICAL):
            raise StackError(
                f"alarm {name!r} of severity {general.severity!r} would reach nobody; give this severity a topic in "
                "alarm_topics, or give alarm_topic= for all that have none"
            )
        return general

    def close(self) -> None:
        """Refuse options for alarms that there are not.

        Raises:
            StackError: The text names the nearest.
        """
        _refuse_unknown("alarm_options for", self.options, self._seen)
        _refuse_unknown("without_alarms has", self.without, self._seen)


def _refuse_unknown(what: str, addresses: Iterable[str], known: set[str]) -> None:
    for address in addresses:
        if address not in known:
            raise StackError(
                f"{what} {address!r}, and there is no such alarm{nearest(address, sorted(known))}; an alarm is "
                "addressed by what it watches ('age') or by its whole name ('emails age')"
            )
