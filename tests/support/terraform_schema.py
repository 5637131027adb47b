"""The schema of Terraform's AWS provider for the types that we render, and what it says of a configuration.

``terraform validate`` needs the provider itself, which only HashiCorp's registry has. Bindings for the CDK for Terraform
are generated from the provider's schema and are on PyPI, so that the schema is read out of them and checked in::

    pip download --no-deps cdktf-cdktf-provider-aws==21.22.1
    python -m tests.support.terraform_schema cdktf_cdktf_provider_aws-21.22.1-py3-none-any.whl
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: Where the schema lies.
SCHEMA_PATH = Path(__file__).with_suffix(".json")

#: The types in it.
RESOURCES = (
    "cloudwatch_log_group",
    "iam_policy",
    "iam_role",
    "iam_role_policy",
    "iam_role_policy_attachment",
    "lambda_event_source_mapping",
    "lambda_function",
    "lambda_function_recursion_config",
    "s3_bucket",
    "s3_bucket_lifecycle_configuration",
    "s3_bucket_ownership_controls",
    "s3_bucket_policy",
    "s3_bucket_public_access_block",
    "s3_bucket_server_side_encryption_configuration",
    "scheduler_schedule",
    "scheduler_schedule_group",
    "sqs_queue",
    "sqs_queue_policy",
)
DATA = ("caller_identity", "iam_policy_document", "partition", "region")

#: Arguments that Terraform itself knows, for every resource.
META = frozenset({"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"})

_SIMPLE = {"builtins.str": "string", "jsii.Number": "number", "builtins.bool": "bool"}
_REFERENCE = re.compile(r"(?<!\$)\$\{([^}]*)\}")
_ADDRESS = re.compile(r"\b(data\.)?(aws_\w+)\.(\w+)(?:\.(\w+))?|\bvar\.(\w+)")


# --- what the bindings say ---------------------------------------------------------------------------------------------


def read_wheel(path: Path) -> dict[str, Any]:
    """The schema of these types, out of the bindings."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        package = next(name for name in names if name.endswith("/sqs_queue/__init__.py")).split("/")[0]

        def source(name: str) -> str:
            return wheel.read(f"{package}/{name}/__init__.py").decode()

        version = re.search(r"hashicorp/aws/([\d.]+)/", source("sqs_queue"))
        assert version is not None
        return {
            "provider": f"hashicorp/aws {version[1]}",
            "source": path.name,
            "resource": {f"aws_{name}": _type(source(name), "TerraformResource") for name in RESOURCES},
            "data": {f"aws_{name}": _type(source(f"data_aws_{name}"), "TerraformDataSource") for name in DATA},
        }


def _type(source: str, base: str) -> dict[str, Any]:
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    (found,) = [one for one in classes.values() if any(ast.unparse(name).endswith(f".{base}") for name in one.bases)]
    properties = [
        node.name
        for node in found.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one) == "builtins.property" for one in node.decorator_list)
    ]
    return {
        **_block(found, classes),
        "readable": sorted(name for name in properties if not name.endswith("_input") and not name.startswith("_")),
    }


def _block(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> dict[str, Any]:
    (init,) = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    attributes: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for argument in init.args.kwonlyargs:
        if argument.arg in META or argument.annotation is None:
            continue
        text = ast.unparse(argument.annotation)
        required = not text.startswith("typing.Optional[")
        inner = text if required else text.removeprefix("typing.Optional[")[:-1]
        struct = re.search(r"'(\w+)'", inner)
        if struct is not None:
            many = "typing.Sequence[" in inner
            blocks[argument.arg] = {"required": required, "many": many, **_block(classes[struct[1]], classes)}
        else:
            attributes[argument.arg] = {"required": required, "type": _kind(inner)}
    return {"attributes": attributes, "blocks": blocks}


def _kind(text: str) -> str:
    for name in ("typing.Sequence", "typing.Mapping"):
        if text.startswith(f"{name}["):
            return "list" if name.endswith("Sequence") else "map"
    return next(kind for name, kind in _SIMPLE.items() if name in text)


# --- what it says of a configuration -----------------------------------------------------------------------------------


def problems(configuration: Mapping[str, Any], schema: Mapping[str, Any] | None = None) -> list[str]:
    """What Terraform would refuse in a configuration in JSON: unknown and missing names, types, dangling references."""
    known = schema or json.loads(SCHEMA_PATH.read_text())
    return [
        *(f"unknown block {name!r}" for name in configuration.keys() - _TOP),
        *(
            problem
            for mode in ("resource", "data")
            for kind, made in configuration.get(mode, {}).items()
            for name, body in made.items()
            for problem in _of_resource(f"{mode}.{kind}.{name}", body, known[mode].get(kind))
        ),
        *_dangling(configuration, known),
    ]


_TOP = frozenset({"//", "terraform", "provider", "variable", "locals", "data", "resource", "output"})


def _of_resource(where: str, body: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Iterator[str]:
    if schema is None:
        yield f"{where}: the provider has no such type"
    elif not re.fullmatch(r"[A-Za-z_][\w-]*", where.rpartition(".")[2]):
        yield f"{where}: not a name"
    else:
        yield from _of_block(where, {name: value for name, value in body.items() if name not in META}, schema)


def _of_block(where: str, body: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for name, found in {**schema["attributes"], **schema["blocks"]}.items():
        if found["required"] and name not in body:
            yield f"{where}: {name} is missing"
    for name, value in body.items():
        if name == "//":
            continue
        if name in schema["attributes"]:
            if not _fits(value, schema["attributes"][name]["type"]):
                yield f"{where}: {name} is {value!r}, and not a {schema['attributes'][name]['type']}"
        elif name in schema["blocks"]:
            inner = schema["blocks"][name]
            many = value if isinstance(value, list) else [value]
            if len(many) > 1 and not inner["many"]:
                yield f"{where}: {name} is there {len(many)} times"
            for one in many:
                yield from _of_block(f"{where}.{name}", one, inner)
        else:
            yield f"{where}: {name} is unknown"


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, str):
        return kind == "string" or _REFERENCE.fullmatch(value) is not None
    if kind in ("string", "number") and isinstance(value, int | float) and not isinstance(value, bool):
        return kind == "number"
    return isinstance(value, {"bool": bool, "list": list, "map": dict}.get(kind, ()))


def _dangling(configuration: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """References to what is not there, or has no such attribute."""
    for text in _texts(configuration):
        for expression in _REFERENCE.findall(text) + ([text] if re.fullmatch(r"(data\.)?aws_\w+\.\w+", text) else []):
            for match in _ADDRESS.finditer(expression):
                data, kind, name, attribute, variable = match.groups()
                if variable is not None:
                    if variable not in configuration.get("variable", {}):
                        yield f"{match[0]}: there is no such variable"
                    continue
                mode = "data" if data else "resource"
                if name not in configuration.get(mode, {}).get(kind, {}):
                    yield f"{match[0]}: there is no such {mode}"
                elif attribute is not None and attribute not in schema[mode][kind]["readable"]:
                    yield f"{match[0]}: there is no such attribute"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if name != "//":
                yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


if __name__ == "__main__":
    SCHEMA_PATH.write_text(json.dumps(read_wheel(Path(sys.argv[1])), indent=1) + "\n")
