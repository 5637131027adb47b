"""The visibility timeout of a queue, agreed between the queue and those who work it (R2)."""

from __future__ import annotations

from aws_cdk import Annotations, Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.errors import RuleError


class QueueVisibility:
    """What a queue emits as its visibility timeout: set by hand, or the largest that its consumers ask for.

    One object is shared by a queue and its references in other stacks, so that a worker there still decides here.

    Args:
        queue: The logical name, for texts.
        explicit_seconds: What was set by hand, or None.
        initial_seconds: What is emitted while no consumer has asked.
        cfn_queue: Where it is emitted; None for an existing queue.
        is_unknown: Whether it was set by hand to what is known at the deploy only, so that nobody can check it.

    Attributes:
        explicit_seconds: What was set by hand, or None.
        is_unknown: Whether that is known at the deploy only.
    """

    def __init__(
        self,
        *,
        queue: str,
        explicit_seconds: int | None,
        initial_seconds: float,
        cfn_queue: sqs.CfnQueue | None,
        is_unknown: bool = False,
    ) -> None:
        self.explicit_seconds = explicit_seconds
        self._queue = queue
        self._cfn_queue = cfn_queue
        self.is_unknown = is_unknown
        self._seconds: float = 0
        self._emit(initial_seconds if explicit_seconds is None else explicit_seconds)

    @property
    def timeout(self) -> Duration | None:
        """What the queue has, as far as the consumers are known by now; None for an existing queue that is unknown."""
        if self._cfn_queue is not None:
            return Duration.seconds(self._seconds)
        return None if self.explicit_seconds is None else Duration.seconds(self.explicit_seconds)

    def require(self, *, consumer: Construct, name: str, at_least: int, recommended: int) -> None:
        """State what a consumer needs, in seconds.

        Args:
            consumer: Where a warning is shown.
            name: Who asks, for texts.
            at_least: What it cannot work without.
            recommended: What it gets unless the timeout was set by hand.

        Raises:
            RuleError: R2; the timeout that was set by hand is less than ``at_least``.
        """
        if self.is_unknown:
            return
        if self._cfn_queue is None and self.explicit_seconds is None:
            Annotations.of(consumer).add_warning_v2(
                "sqs-tasks:existing-queue-visibility",
                f"Queue {self._queue!r} exists already, so its visibility timeout cannot be set or read here: {name} "
                f"needs at least {at_least} s and should have {recommended} s. Give visibility_timeout= with what it "
                "has, to have it checked.",
            )
        elif self.explicit_seconds is None:
            # Always emitted: a template that leaves it out has 30 s, and no validator notices (C9).
            self._emit(max(self._seconds, recommended))
        elif self.explicit_seconds < at_least:
            fix = (
                f"raise the visibility timeout of the existing queue to {recommended} s where it is made"
                if self._cfn_queue is None
                else f"raise visibility_timeout to {recommended} s, or leave it out to have it computed"
            )
            raise RuleError(
                "R2",
                f"queue {self._queue!r} hides a message for {self.explicit_seconds} s, but {name} may work on it for "
                f"{at_least} s and SQS would deliver it again meanwhile; {fix}",
            )

    def _emit(self, seconds: float) -> None:
        self._seconds = seconds
        if self._cfn_queue is not None:
            self._cfn_queue.visibility_timeout = seconds
