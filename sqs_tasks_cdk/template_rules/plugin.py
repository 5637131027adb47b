"""The rules as a validation plugin: every template of an app is checked when it is synthesised."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import jsii
from aws_cdk import (
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
)

from sqs_tasks_cdk.template_rules.checks import check

#: What the ids of findings begin with where they are acknowledged: ``SqsTasks::R2-visibility``.
PLUGIN_NAME: Final = "SqsTasks"


@jsii.implements(IPolicyValidationPlugin)
class TaskRules:
    """Checks every queue, event source mapping and function of an app, whoever made it.

    Errors fail the synth, warnings are shown, and what is acknowledged is neither::

        Validations.of(app).add_plugins(TaskRules())
        Validations.of(queue).acknowledge(Acknowledgment(id="SqsTasks::R3-few-receives", reason="..."))
    """

    @property
    def name(self) -> str:
        """What acknowledgements begin with."""
        return PLUGIN_NAME

    @property
    def rule_ids(self) -> Sequence[str] | None:
        """Not listed: the ids are in ``docs/rules.md``."""
        return None

    @property
    def version(self) -> str | None:
        """None: the rules have that of the package."""
        return None

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        """What the rules say of the templates that have been synthesised."""
        found = [
            (path, one)
            for path in context.template_paths
            for one in check(json.loads(Path(path).read_text(encoding="utf-8")))
        ]
        return PolicyValidationPluginReport(
            success=all(one.severity != "error" for _, one in found),
            violations=[
                PolicyViolation(
                    rule_name=one.id,
                    description=one.text,
                    severity=one.severity,
                    violating_resources=[
                        PolicyViolatingResource(resource_logical_id=one.resource, template_path=path, locations=[])
                    ],
                )
                for path, one in found
            ],
        )


def task_rules() -> IPolicyValidationPlugin:
    """The plugin, typed as the CDK wants it."""
    return cast("IPolicyValidationPlugin", TaskRules())
