"""``docs/glossary.md`` explains words that the code uses, each once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")

_ROW = re.compile(r"^\| (?!word )([a-z][\w ,-]*) \| (.+?) \|(?: `([\w/]+\.py)` \|)?$", re.MULTILINE)


def test_each_word_is_explained_once():
    """A word in two rows would have two meanings."""
    counted = Counter(word for word, _, _ in _ROW.findall(PAGE))

    assert [word for word, count in counted.items() if count > 1] == []
    assert len(counted) > 45, "the expression still finds them"


def test_words_of_the_code_stand_in_the_file_that_is_named():
    """A word that the code has given up, or a file that has moved, is noticed."""
    missing = []
    for words, _, name in _ROW.findall(PAGE):
        if name:
            text = f"{name} {(ROOT / 'sqs_tasks' / name).read_text(encoding='utf-8').casefold()}"
            missing += [f"{word}: {name}" for word in re.split(r", | ", words) if word not in text]

    assert missing == []
