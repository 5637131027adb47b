"""Numbers that are known at the deploy only: a parameter, an attribute of another resource.

No check can be made on them and nothing can be computed from them. They pass every check and stand in the template as
they are.
"""

from __future__ import annotations

from typing import TypeVar

from aws_cdk import Duration, Token, Tokenization

from sqs_tasks_cdk.errors import StackError

_NumberT = TypeVar("_NumberT", int, float)


def known(value: _NumberT | None) -> _NumberT | None:
    """A number that is known at synth; None for any other, and for none."""
    return None if value is None or Token.is_unresolved(value) else value


def known_seconds(duration: Duration | None) -> int | None:
    """The whole seconds of a duration that is known at synth; None for any other, and for none."""
    return None if duration is None or duration.is_unresolved() else int(duration.to_seconds())


def number_text(value: float) -> str:
    """A number as the text of a variable, whether it is known or not."""
    return Tokenization.stringify_number(value) if Token.is_unresolved(value) else str(value)


def needed(value: _NumberT | None, *, what: str, instead: str) -> _NumberT:
    """A number that something is computed from.

    Raises:
        StackError: It is known at the deploy only; the text says what else to give.
    """
    found = known(value)
    if found is None:
        raise StackError(f"{what} is known at the deploy only, and a setting is computed from it; {instead}")
    return found
