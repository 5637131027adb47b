"""What a plan leaves open and a rendering needs: the form, the function's platform, its code, its concurrency."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqs_tasks.errors import ConfigurationError
from sqs_tasks.limits import check_number
from sqs_tasks.local.function.function import MAX_MEMORY_MB, MIN_MEMORY_MB

#: The forms, by the names that the command takes.
Form = Literal["cloudformation", "sam", "terraform"]

FORMS: Final[tuple[Form, ...]] = ("cloudformation", "sam", "terraform")


#: The platform of functions, as the stack has it.
DEFAULT_PYTHON: Final = "3.13"
DEFAULT_ARCHITECTURE: Final = "arm64"

#: What the names of variables begin with that a worker gets from its registry.
_OURS: Final = "SQS_TASKS_"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSettings:
    """How a plan is rendered.

    Attributes:
        form: The form.
        python: The functions' Python, as in ``3.13``.
        architecture: ``arm64`` or ``x86_64``.
        code: The path of the zip file with the functions' code, as the template is to name it; None for a parameter.
        memory: Megabytes of the function, by the name of the queue in code; what the plan says where there is none.
        max_concurrency: Concurrent invocations at most, by the name of the queue in code.
        reserved_concurrency: The function's own share of the account's concurrency, by the name of the queue in code.
        variables: More variables of every worker, with values as they stand.
    """

    form: Form
    python: str = DEFAULT_PYTHON
    architecture: str = DEFAULT_ARCHITECTURE
    code: str | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    max_concurrency: Mapping[str, int] = field(default_factory=dict)
    reserved_concurrency: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def check(self, plan: Mapping[str, Any]) -> None:
        """Refuse what does not fit the plan, or what Lambda would refuse.

        Raises:
            ConfigurationError: Says which setting, and what is allowed.
        """
        from sqs_tasks_cdk import rules
        from sqs_tasks_cdk.errors import StackError

        if self.form == "cloudformation" and self.code is not None:
            raise ConfigurationError(
                f"code={self.code!r} is a path, and CloudFormation takes the code of functions from S3 alone; leave it "
                "out and give the parameters CodeBucket and CodeKey at deployment, or render the form sam"
            )
        if re.fullmatch(r"3\.\d+", self.python) is None:
            raise ConfigurationError(
                f"python={self.python!r} is no release of Python that Lambda has a runtime for; give it as 3.13"
            )
        for name in self.variables:
            if name.startswith(_OURS):
                raise ConfigurationError(
                    f"variable {name!r} is one that a worker gets from its registry; names that begin with {_OURS} are "
                    "taken; leave it out"
                )
        functions = {one["queue"]: one for one in plan["workers"] if one["runs_on"] == "lambda"}
        for name in (*self.memory, *self.max_concurrency, *self.reserved_concurrency):
            if name not in functions:
                raise ConfigurationError(
                    f"memory or concurrency is given for queue {name!r}, which no function works; those with functions "
                    f"are {', '.join(map(repr, functions)) or 'none'}; correct the name"
                )
        for name, megabytes in self.memory.items():
            check_number(megabytes, f"memory of queue {name!r}", MIN_MEMORY_MB, MAX_MEMORY_MB, unit="MB")
        fifo = {one["name"]: one["fifo"] for one in plan["queues"]}
        try:
            for name, function in functions.items():
                most, reserved = self.max_concurrency.get(name), self.reserved_concurrency.get(name)
                rules.check_mapping(
                    queue=name,
                    fifo=fifo[name],
                    batch_size=function["event_source"]["batch_size"],
                    window_seconds=function["event_source"]["batching_window_seconds"],
                    max_concurrency=most,
                    provisioned_pollers=False,
                    reserved_concurrency=reserved,
                )
                if reserved is not None:
                    rules.check_reserved(queues=[name], maxima=[most], reserved=reserved)
        except StackError as error:
            raise ConfigurationError(str(error)) from error
