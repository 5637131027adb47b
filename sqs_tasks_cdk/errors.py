"""What the constructs refuse, at synth, where the author is.

    StackError (ValueError)
    ├── ManifestError       the registry's data cannot be read; carries the path of the field
    ├── RuleError           settings that would lose, delay or never run messages; carries the rule's number (R1 to R9)
    └── BundlingError       the function's code cannot be put together

Each text says what happened, the value, what is allowed and what to do.
"""

from __future__ import annotations


class StackError(ValueError):
    """The root of every error that ``sqs_tasks_cdk`` raises on purpose."""


class ManifestError(StackError):
    """A manifest that cannot be read.

    Attributes:
        path: Where in the document, as in ``queues[2].tasks[0].timeout_seconds``; empty for the whole of it.
    """

    def __init__(self, text: str, *, path: str = "") -> None:
        super().__init__(f"manifest: {path}: {text}" if path else f"manifest: {text}")
        self.path = path


class RuleError(StackError):
    """A combination of settings that does not hold together.

    Attributes:
        rule: The number of the rule in ``docs/rules.md``, as ``"R4"``.
    """

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{text} [{rule}]")
        self.rule = rule


class BundlingError(StackError):
    """Code that cannot be put together: no source, no lock file, or an installer that failed."""
