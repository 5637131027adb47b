"""Message groups and deduplication ids: what SQS takes as one, and one for any value."""

from __future__ import annotations

import re

from sqs_tasks import limits
from sqs_tasks.errors import ConfigurationError

_GROUP_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


def check_group_id(value: object, label: str) -> str:
    """A message group id or deduplication id as SQS takes it; whole numbers become their digits.

    Raises:
        ConfigurationError: Not 1 to 128 printable ASCII characters without spaces.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _GROUP_ID.fullmatch(text):
        raise ConfigurationError(
            f"{label} {value!r} must be 1 to {limits.MAX_GROUP_ID_CHARS} ASCII letters, digits and punctuation"
        )
    return text


def group_id_of(value: object) -> str:
    """The message group of an argument's value: the value itself where SQS takes it as an id, else its digest.

    A tenant's name may hold spaces or be in any script, and a send must not fail for that.
    """
    text = str(value)
    if _GROUP_ID.fullmatch(text):
        return text
    import hashlib  # most values are ids already

    return f"sha256-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
