"""The rules of ``docs/rules.md`` over any CloudFormation template, ours or not.

Here is no CDK: ``sqs-tasks check`` uses the same for templates that others wrote. Only ``plugin`` and ``mixin`` need
it, which offer the rules to any CDK app.
"""

from __future__ import annotations
