"""The plan's placeholders in the words of a form: names of the account, and references to queues that are made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

#: An address of a queue of the same account and region, a placeholder, or the start of what a form would read as one.
#: ``*`` after the name is a pattern and no queue.
_TOKEN: Final = re.compile(
    r"https://sqs\.\$\{region\}\.\$\{url_suffix\}/\$\{account\}/(?P<url>[\w.-]+)(?![\w.*-])"
    r"|arn:\$\{partition\}:sqs:\$\{region\}:\$\{account\}:(?P<arn>[\w.-]+)"
    r"|\$\{(?P<name>partition|region|account|url_suffix)\}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a form says for the placeholders of a plan.

    Attributes:
        names: For ``partition``, ``region``, ``account`` and ``url_suffix``.
        url: For the URL of a queue that is made, by its name in SQS.
        arn: For the ARN of one.
        escape: Makes text that the form would read as a reference plain.
        made: The names in SQS of the queues that are made.
    """

    names: Mapping[str, str]
    url: Callable[[str], str]
    arn: Callable[[str], str]
    escape: Callable[[str], str]
    made: frozenset[str]

    def fill(self, text: str, *, references: bool = True) -> str:
        """A text of the plan in the words of the form.

        Args:
            text: The text.
            references: Whether queues that are made are referenced; their addresses are put together if not, which
                needs no order among them.
        """
        filled: list[str] = []
        end = 0
        for match in _TOKEN.finditer(text):
            filled.append(self.escape(text[end : match.start()]))
            filled.append(self._word(match, references=references))
            end = match.end()
        filled.append(self.escape(text[end:]))
        return "".join(filled)

    def environment(self, of_plan: Mapping[str, str], besides: Mapping[str, str]) -> dict[str, str]:
        """Variables of a plan in the words of the form, and others, which win, with values as they stand."""
        filled = {name: self.fill(value) for name, value in of_plan.items()}
        return {**filled, **{name: self.escape(value) for name, value in besides.items()}}

    def _word(self, match: re.Match[str], *, references: bool) -> str:
        if match["name"] is not None:
            return self.names[match["name"]]
        name = match["url"] or match["arn"]
        if references and name in self.made:
            return self.url(name) if match["url"] else self.arn(name)
        return re.sub(r"\$\{(\w+)\}", lambda one: self.names[one[1]], match[0])
