"""The settings of the stack that ``python -m sqs_tasks_cdk`` makes: by context, and by a function of the user's.

``-c settings=deploy.settings:production`` names a function that is called with the stack and the manifest and returns
the settings of :class:`~sqs_tasks_cdk.stack.SqsTasks`, and under ``"monitoring"`` those of its alarms. The other keys
are for what most need; see ``docs/cdk.md``.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_cdk import RemovalPolicy, Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from sqs_tasks_cdk.errors import StackError
from sqs_tasks_cdk.lambda_worker import LambdaWorker
from sqs_tasks_cdk.manifest import Manifest
from sqs_tasks_cdk.target_variables import TargetVariables

#: What ``removal_policy`` may say.
_REMOVAL: Final = {"retain": RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE, "destroy": RemovalPolicy.DESTROY}

Hook = Callable[[Stack, Manifest], Mapping[str, Any]]


def settings_hook(path: str | None) -> Hook | None:
    """The function that a context value names, or None.

    Raises:
        StackError: It cannot be imported, or is no function.
    """
    if not path:
        return None
    module, _, name = path.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise StackError(
            f"-c settings={path} cannot be imported ({error}); it must read 'module:function', found from the present "
            "directory"
        ) from error
    if not callable(hook):
        raise StackError(f"-c settings={path} is no function; it is called with the stack and the manifest")
    return hook  # type: ignore[no-any-return]  # whatever the user wrote


def settings_of(stack: Stack, manifest: Manifest, hook: Hook | None) -> dict[str, Any]:
    """The settings that the context and the hook say; what the hook says wins, setting by setting.

    Raises:
        StackError: A value that is none of those that a key may have, or a hook that returns no settings.
    """
    said: Mapping[str, Any] = {} if hook is None else hook(stack, manifest)
    if not isinstance(said, Mapping):
        raise StackError(f"the settings function returned {said!r}; return a dictionary of settings, or {{}}")
    general = _by_context(stack)
    merged = {**general, **said}
    for name in ("lambda_defaults", "fargate_defaults", "queue_defaults"):
        if name in general and name in said:
            merged[name] = {**general[name], **said[name]}
    return merged


def is_without_tasks(scope: Construct) -> bool:
    """Whether the context says that the registry may have no task.

    Raises:
        StackError: It says something that is neither yes nor no.
    """
    said = scope.node.try_get_context("without_tasks")
    if said in (None, False, "false"):
        return False
    if said in (True, "true"):
        return True
    raise StackError(f"-c without_tasks={said}: allowed is true or false; leave it out for a registry with tasks")


def give_secrets(scope: Construct, workers: Mapping[str, Any]) -> None:
    """Let functions read the secrets of the context: ``DB_PASSWORD`` is in ``DB_PASSWORD_ARN`` as its ARN.

    Services have the values themselves, which ECS puts into their variables; Lambda has no such thing.
    """
    found = _secrets(scope)
    for worker in workers.values():
        if isinstance(worker, LambdaWorker) and isinstance(worker.function, lambda_.Function):
            for name, secret in found.items():
                variables = TargetVariables.of(worker.function)
                variables.set(f"{name}_ARN", secret.secret_arn, instead="the secrets of the context")
                secret.grant_read(worker.role)


def _by_context(stack: Stack) -> dict[str, Any]:
    functions: dict[str, Any] = {}
    services: dict[str, Any] = {}
    settings: dict[str, Any] = {"lambda_defaults": functions, "fargate_defaults": services}
    if is_without_tasks(stack):
        settings["without_tasks"] = True
    environment = _mapping(stack, "environment")
    if environment:
        functions["environment"] = services["environment"] = environment
    memory = stack.node.try_get_context("memory")
    if memory is not None:
        if not str(memory).isdecimal():
            raise StackError(f"-c memory={memory}: the memory of functions is a number of megabytes, as in 1024")
        functions["memory_size"] = int(memory)
    runtime = stack.node.try_get_context("runtime")
    if runtime is not None:
        functions["runtime"] = _runtime(str(runtime))
    removal = stack.node.try_get_context("removal_policy")
    if removal is not None:
        if removal not in _REMOVAL:
            raise StackError(f"-c removal_policy={removal}: allowed is {' or '.join(_REMOVAL)}")
        settings["queue_defaults"] = {"removal_policy": _REMOVAL[removal]}
    secrets = _secrets(stack)
    if secrets:
        services["secrets"] = {name: ecs.Secret.from_secrets_manager(one) for name, one in secrets.items()}
    vpc = stack.node.try_get_context("vpc")
    if vpc is not None:
        settings["vpc"] = functions["vpc"] = _vpc(stack, str(vpc))
    return settings


def _vpc(stack: Stack, vpc_id: str) -> ec2.IVpc:
    if Token.is_unresolved(stack.account) or Token.is_unresolved(stack.region):
        raise StackError(
            f"-c vpc={vpc_id} is looked up in an account and region that are not known; give -c account=... and -c "
            "region=..., or credentials"
        )
    return ec2.Vpc.from_lookup(stack, "Vpc", vpc_id=vpc_id)


def _runtime(name: str) -> lambda_.Runtime:
    known = {
        runtime.name: runtime
        for runtime in lambda_.Runtime.ALL
        if runtime.family == lambda_.RuntimeFamily.PYTHON and runtime.name >= "python3.11"
    }
    found = known.get(name if name.startswith("python") else f"python{name}")
    if found is None:
        raise StackError(f"-c runtime={name}: allowed is {', '.join(sorted(known))}")
    return found


def _secrets(scope: Construct) -> dict[str, secretsmanager.ISecret]:
    found: dict[str, secretsmanager.ISecret] = {}
    named = _mapping(scope, "secrets")
    if not named:
        return found
    holder = scope.node.try_find_child("Secrets") or Construct(scope, "Secrets")
    for name, value in named.items():
        made = holder.node.try_find_child(name)
        if made is not None:
            found[name] = made  # type: ignore[assignment]  # made below, in an earlier call
        elif value.startswith("arn:"):
            found[name] = secretsmanager.Secret.from_secret_complete_arn(holder, name, value)  # type: ignore[arg-type]
        else:
            found[name] = secretsmanager.Secret.from_secret_name_v2(holder, name, value)  # type: ignore[arg-type]
    return found


def _mapping(scope: Construct, key: str) -> dict[str, str]:
    """A context value that is an object: from ``cdk.json`` as it is, from the command line as JSON."""
    value = scope.node.try_get_context(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
        if value is None:
            raise StackError(f'-c {key}=... is no JSON; write it like \'{{"NAME": "value"}}\', or into cdk.json')
    if value is not None and not (
        isinstance(value, Mapping) and all(isinstance(text, str) for pair in value.items() for text in pair)
    ):
        raise StackError(f'context {key!r} is {value!r}; it must be an object of texts, like {{"NAME": "value"}}')
    return dict(value or {})
