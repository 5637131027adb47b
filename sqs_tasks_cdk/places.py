"""Where a queue is: its account and region, as far as they are known at synth."""

from __future__ import annotations

from typing import TypedDict

from aws_cdk import Stack, Token
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqs_tasks_cdk.errors import StackError


class Place(TypedDict, total=False):
    """Where an ARN says it is, as far as that is another place than the stack's."""

    account: str
    region: str


def place_of(queue: sqs.IQueue) -> Place:
    """The account and the region of a queue, without what is not known at synth."""
    place: Place = {}
    if not Token.is_unresolved(queue.env.account):
        place["account"] = queue.env.account
    if not Token.is_unresolved(queue.env.region):
        place["region"] = queue.env.region
    return place


def elsewhere(scope: Construct, queue: sqs.IQueue) -> Place:
    """What is known to differ between the place of a queue and that of the stack of ``scope``; empty if nothing is.

    A stack without an account and a region of its own may be deployed anywhere, so that nothing is known to differ.
    """
    stack, place, differs = Stack.of(scope), place_of(queue), Place()
    if "account" in place and not Token.is_unresolved(stack.account) and place["account"] != stack.account:
        differs["account"] = place["account"]
    if "region" in place and not Token.is_unresolved(stack.region) and place["region"] != stack.region:
        differs["region"] = place["region"]
    return differs


def require_here(scope: Construct, queue: sqs.IQueue, name: str, *, consequence: str) -> None:
    """Refuse a queue that is known to be elsewhere: its metrics are where it is, and so must be what reads them.

    Raises:
        StackError: It is in another account or region; ``consequence`` says what that means, and what to do.
    """
    place = elsewhere(scope, queue)
    if place:
        raise StackError(f"queue {name!r} is in {named(place)}, and so are its metrics{consequence}")


def named(place: Place) -> str:
    """A place in words, as in ``account 123456789012 and region eu-west-1``."""
    return " and ".join(f"{name} {value}" for name, value in place.items())
