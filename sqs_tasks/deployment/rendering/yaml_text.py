"""A CloudFormation template as YAML that people read: with comments, and functions in their short forms."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqs_tasks.errors import ConfigurationError

#: Columns of comments.
_WIDTH: Final = 100

#: Functions that are written in their short form.
_SHORT: Final = {"Ref": "!Ref", "Fn::GetAtt": "!GetAtt", "Fn::Sub": "!Sub"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A resource, parameter or output with the comment above it.

    Attributes:
        id: Its logical id.
        body: As in JSON, functions in their long form.
        comment: What it is; empty for none.
    """

    id: str
    body: Mapping[str, Any]
    comment: str = ""


def template_text(head: Sequence[str], sections: Mapping[str, Any]) -> str:
    """The template.

    Args:
        head: The lines of the comment at the top; an indented line is not broken.
        sections: What the template has, by name: a text, or entries.

    Raises:
        ConfigurationError: PyYAML is not installed.
    """
    blocks = [_comment(head)]
    for name, section in sections.items():
        if isinstance(section, str):
            blocks[-1] += _dump({name: section})
        elif section:
            blocks.append(f"{name}:\n" + "\n".join(_entry(one) for one in section))
    return "\n".join(blocks)


def _entry(entry: Entry) -> str:
    comment = _comment(entry.comment.splitlines()) if entry.comment else ""
    return textwrap.indent(comment + _dump({entry.id: entry.body}), "  ", lambda line: bool(line.strip()))


def _comment(lines: Iterable[str]) -> str:
    broken = [
        part
        for line in lines
        for part in (
            [line]
            if line.startswith(" ") or not line
            else textwrap.wrap(
                line,
                _WIDTH,
                subsequent_indent="  " if line.startswith("- ") else "",
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in broken)


def _dump(value: Any) -> str:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "a template is written as YAML, and PyYAML is not installed; install it with: pip install 'sqs-tasks[cli]'"
        ) from error

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
        """Writes functions in their short form, and lists below their names."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # a reader should see each value where it is
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002
            return super().increase_indent(flow, False)

    def represent(dumper: Any, data: Mapping[str, Any]) -> Any:
        if len(data) == 1 and next(iter(data)) in _SHORT:
            ((name, argument),) = data.items()
            text = ".".join(argument) if name == "Fn::GetAtt" else argument
            return dumper.represent_scalar(_SHORT[name], text)
        return dumper.represent_mapping("tag:yaml.org,2002:map", data.items())

    Dumper.add_representer(dict, represent)
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, width=float("inf"), allow_unicode=True)
    # Names need no quotes. At the start of a value alone: elsewhere it is somebody's text.
    return re.sub(r"^(\s*(?:- )*(?:[^\s'\"]+: )?!(?:Ref|GetAtt)) '([\w.:]+)'$", r"\1 \2", text, flags=re.MULTILINE)
