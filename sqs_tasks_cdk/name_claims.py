"""Names that an account and region have once: two stacks that claim the same one cannot both be deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import jsii
from aws_cdk import Annotations, Stack, Token
from constructs import Construct, IValidation

#: Where the claims of an app are kept, as a child of its root.
_ID = "SqsTasksNames"

#: jsii keeps no Python object alive by itself, and what is found again in the tree must be this object, not a proxy.
_ALIVE: list[_Names] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    what: str
    name: str
    path: str
    stack: str
    place: tuple[str, str] | None


def claim_name(scope: Construct, what: str, name: str | None) -> None:
    """Claim a name in the account and region of a construct's stack.

    When two stacks of an app claim the same name for one account and region, the app is refused at synth. Where the
    account is not known before the deployment, as in a stack without ``env``, that is a warning: the two may go to
    different accounts.

    Args:
        scope: Who claims it.
        what: What it is a name of, as in ``"queue"``.
        name: The name; None and one that is not known at synth are no claim.
    """
    if name is None or Token.is_unresolved(name):
        return
    stack = Stack.of(scope)
    outermost = stack
    while outermost.nested_stack_parent is not None:
        outermost = outermost.nested_stack_parent
    is_known = not Token.is_unresolved(stack.account) and not Token.is_unresolved(stack.region)
    claim = _Claim(
        what=what,
        name=name,
        path=scope.node.path,
        stack=outermost.node.path,
        place=(stack.account, stack.region) if is_known else None,
    )
    rival = _Names.of(scope).add(claim)
    if rival is not None and rival.place is None and claim.place is None and rival.stack != claim.stack:
        Annotations.of(scope).add_warning_v2(
            f"sqs-tasks:same-name-{name}",
            f"{_told(rival, claim)}, and the accounts of their stacks are not known here. In one account the second "
            "deployment fails: give one stack a stage= or queue_prefix=, or each its account by env=.",
        )


class _Names(Construct):
    """The claims of an app."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(scope, _ID)
        self._claims: dict[tuple[str, str], list[_Claim]] = {}
        self._clashes: list[str] = []
        self.node.add_validation(cast("IValidation", _Validation(self._clashes)))
        _ALIVE.append(self)

    @staticmethod
    def of(scope: Construct) -> _Names:
        root = cast("Construct", scope.node.root)
        found = root.node.try_find_child(_ID)
        return found if isinstance(found, _Names) else _Names(root)

    def add(self, claim: _Claim) -> _Claim | None:
        """Keep a claim; another one of the same name comes back."""
        others = self._claims.setdefault((claim.what, claim.name), [])
        for other in others:
            if other.stack == claim.stack or (claim.place is not None and other.place == claim.place):
                self._clashes.append(
                    f"{_told(other, claim)} in one account and region; give one stack a stage= or queue_prefix=, or "
                    "another name to one of them"
                )
        others.append(claim)
        return others[0] if len(others) > 1 else None


@jsii.implements(IValidation)
class _Validation:
    def __init__(self, clashes: list[str]) -> None:
        self._clashes = clashes

    def validate(self) -> list[str]:
        """What is wrong with the app."""
        return list(self._clashes)


def _told(first: _Claim, second: _Claim) -> str:
    return f"{first.what} {first.name!r} is made twice, by {first.path} and by {second.path}"
