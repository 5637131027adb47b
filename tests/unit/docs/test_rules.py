"""The numbers that code and tests cite (S20, C9, "PyQS P3") are listed in ``docs/rules.md`` and ``docs/faults.md``.

Looked at are comments, docstrings and the numbers of ``RuleError``. What only looks like a citation goes into double
backticks, as in ``T1000``.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
FAULT_TESTS = ROOT / "tests" / "unit" / "faults"

#: Folders whose Python files are read; those that are not there are passed over.
FOLDERS = ("sqs_tasks", "sqs_tasks_cdk", "lambda_handler", "tests")

#: How many rules and faults there were when these lists were written. They only grow.
LEAST = {"S": 58, "C": 13, "P": 8, "E": 6, "R": 9, "T": 12}
LEAST_FAULTS = {"W": 24, "simple-worker S": 8, "PyQS P": 12, "Q": 10}

#: In a guide this is the service.
AMAZON_S3 = frozenset({"S3"})

#: Pages that speak of the numbers themselves.
EXAMPLES = {"coming-from.md": {"W4"}}

#: Words with the shape of a citation that are none.
NOT_CITED = frozenset({"C99", "P50", "P90", "P95", "P99"})

#: Ruff's and mypy's codes, which begin with the same letters, and quoted text.
_CODES = re.compile(r"noqa:?\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*|type:\s*ignore\[[^]]*]|(`+).*?\1", re.DOTALL)
_RULE = re.compile(r"\b([CEPRST][1-9][0-9]?)\b(?![.%])|\b([CEPRST][1-9][0-9]?)\.(?![0-9A-Za-z])")
_FAULT = re.compile(r"\b([WQ][1-9][0-9]?)\b")
_CALLED_FAULTS = re.compile(r"\bfaults?((?:(?:,| and)? [A-Z][1-9][0-9]?\b)+)", re.IGNORECASE)
_ROW = re.compile(r'^\| <a id="([^"]*)"></a>([^|]*?) \|', re.MULTILINE)
_LINK = re.compile(r"\]\((?:docs/)?((?:rules|faults|guarantees|wire-format|manifest)\.md)?#([\w-]+)\)")


def listed(name: str) -> list[str]:
    """The numbers in the tables of a page, in their order."""
    return [number for _, number in _ROW.findall((DOCS / name).read_text(encoding="utf-8"))]


def prose(source: str) -> Iterator[tuple[int, str]]:
    """The comments and docstrings of a Python file, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield node.body[0].lineno, text


def cited(text: str, *, about_faults: bool = False) -> tuple[set[str], set[str]]:
    """The rules and the faults that a comment or docstring cites.

    simple-worker's S1 to S8 and PyQS's P1 to P12 look like rules. They are taken for faults where the text calls them
    so or names the library, and in the tests of faults, which name it once for a whole file.
    """
    text = _CODES.sub(" ", text)
    faults = set(_FAULT.findall(text))
    text = _CALLED_FAULTS.sub(" fault ", text)
    rules = {one or other for one, other in _RULE.findall(text)} - NOT_CITED
    for letter, library in (("S", "simple-worker"), ("P", "PyQS")):
        if about_faults or library.casefold() in text.casefold().replace("_", "-"):
            rules = {rule for rule in rules if not rule.startswith(letter)}
    return rules, faults


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if not {"cdk.out", "node_modules"}.intersection(path.parts))


@functools.cache
def every_citation() -> tuple[tuple[str, set[str], set[str]], ...]:
    """Where, which rules, which faults; read once for all tests. What is no Python is left to others."""
    found = []
    for path in files():
        try:
            texts = list(prose(path.read_text(encoding="utf-8")))
        except (SyntaxError, tokenize.TokenError, UnicodeDecodeError):
            continue
        for line, text in texts:
            rules, faults = cited(text, about_faults=path.parent == FAULT_TESTS)
            if rules or faults:
                found.append((f"{path.relative_to(ROOT)}:{line}", rules, faults))
    return tuple(found)


def test_every_rule_that_is_cited_is_listed():
    """A reader who meets S20 in a comment finds it in docs/rules.md."""
    known = set(listed("rules.md"))

    unknown = [f"{place}: {', '.join(sorted(rules - known))}" for place, rules, _ in every_citation() if rules - known]

    assert not unknown, "add to docs/rules.md, or put into ``backticks`` what is no rule:\n" + "\n".join(unknown)


def test_every_fault_that_is_cited_is_listed():
    """The same for W4 and Q6 in docs/faults.md."""
    known = set(listed("faults.md"))

    unknown = [
        f"{place}: {', '.join(sorted(faults - known))}" for place, _, faults in every_citation() if faults - known
    ]

    assert not unknown, "add to docs/faults.md, or put into ``backticks`` what is no fault:\n" + "\n".join(unknown)


def test_every_rule_that_an_error_names_is_listed():
    """``RuleError("R4", …)`` ends in ``[R4]``, which a user looks up."""
    known, named = set(listed("rules.md")), set()
    for path in (ROOT / "sqs_tasks_cdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RuleError" and node.args:
                first = node.args[0]
                named |= {first.value} if isinstance(first, ast.Constant) else set()

    assert named
    assert named <= known


@pytest.mark.parametrize(("page", "least"), [("rules.md", LEAST), ("faults.md", LEAST_FAULTS)])
def test_numbers_are_listed_once_and_without_gaps(page, least):
    """A number means one thing for good: none is listed twice, none is left out, new ones come at the end."""
    numbers = listed(page)
    last: Counter[str] = Counter()
    for number in numbers:
        series = number.rstrip("0123456789")
        last[series] += 1
        assert number == f"{series}{last[series]}"

    assert [number for number, times in Counter(numbers).items() if times > 1] == []
    assert {series: last[series] for series in least if last[series] < least[series]} == {}
    assert set(last) == set(least)


@pytest.mark.parametrize("page", ["rules.md", "faults.md"])
def test_anchors_follow_from_the_numbers(page):
    """``docs/rules.md#s20`` can be written without looking it up."""
    text = (DOCS / page).read_text(encoding="utf-8")

    assert [anchor for anchor, number in _ROW.findall(text) if anchor != number.casefold().replace(" ", "-")] == []


def test_links_between_the_pages_lead_somewhere():
    """A link to a heading or a number of these pages names one that is there."""
    dead = []
    for page in sorted(DOCS.glob("*.md")):
        for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
            there = DOCS / target if target else page
            if not there.exists() or anchor not in anchors(there.read_text(encoding="utf-8")):
                dead.append(f"{page.name}: {target}#{anchor}")

    assert dead == []


def test_pages_link_to_https_only_and_define_what_they_use():
    """Reference links are defined once and used, and go to pages, not to machines."""
    for name in ("rules.md", "faults.md", "guarantees.md", "wire-format.md"):
        text = (DOCS / name).read_text(encoding="utf-8")
        defined = re.findall(r"^\[([\w-]+)\]: (\S+)$", text, re.MULTILINE)
        names = [label for label, _ in defined]
        used = set(re.findall(r"\]\[([\w-]+)\]", text))

        assert [label for label, times in Counter(names).items() if times > 1] == []
        assert used == set(names)
        assert [url for _, url in defined if not url.startswith("https://")] == []


def test_tests_that_the_list_of_faults_names_exist():
    """Each fault names the tests that show that it is not ours: those whose names begin like ``test_w1_``."""
    text = (DOCS / "faults.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+_)\*` \|$", text, re.MULTILINE)
    found = "".join(path.read_text(encoding="utf-8") for path in FAULT_TESTS.glob("*.py"))
    if not found:
        pytest.skip("there are no tests of faults here")

    assert [name for name in named if f"def {name}" not in found] == []


def test_guides_cite_no_rules_in_running_text():
    """Someone who reads a guide needs the fact and not its number; a link to the rule may carry it."""
    guides = [path for path in DOCS.glob("*.md") if path.name not in {"rules.md", "faults.md"}]
    found = []
    for page in [*guides, ROOT / "README.md"]:
        text = re.sub(r"```.*?```|\[[^]]*]\([^)]*\)", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        rules, faults = cited(text)
        found += [f"{page.name}: {number}" for number in (rules | faults) - AMAZON_S3 - EXAMPLES.get(page.name, set())]

    assert found == []


def anchors(text: str) -> set[str]:
    """What can be linked to in a page: its own anchors, and its headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.casefold()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]*)">', text))


@pytest.mark.parametrize(
    ("text", "rules", "faults"),
    [
        ("# SQS refuses what exceeds it (S20).", {"S20"}, set()),
        ("# seconds (R3, S42); see S9-S11", {"R3", "S42", "S9", "S11"}, set()),
        ("rules R1 to R4.", {"R1", "R4"}, set()),
        ("# noqa: S311 - spreads load, guards nothing (W6, celery#8243)", set(), {"W6"}),
        ("# noqa: S603, E501  # ours", set(), set()),
        ("# type: ignore[C1]", set(), set()),
        ("S301 C901 E2E EC2 P95 SHA256 T1000 S3Bucket", set(), set()),
        ("a body in S3", {"S3"}, set()),
        ("``T99`` is a tank", set(), set()),
        ("P3 of PyQS: it took any message", set(), set()),
        ("Faults P2 and W4: PyQS fell back to pickle", set(), {"W4"}),
        ("Fault S5 of simple-worker, and R2", {"R2"}, set()),
        ("this thread serves the next job (faults P10, Q2); see S20", {"S20"}, {"Q2"}),
        ("no fault of S20", {"S20"}, set()),
        ("version S2.5 of T4.", {"T4"}, set()),
    ],
)
def test_what_counts_as_a_citation(text, rules, faults):
    """Ruff's codes, percentiles and other libraries' faults are no rules of ours."""
    assert cited(text) == (rules, faults)
