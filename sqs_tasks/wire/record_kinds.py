"""Which classes have fields that travel; attrs and pydantic are recognised by what they leave on a class.

Neither is imported here: who has such a class has imported them.
"""

from __future__ import annotations

from typing import Any


def kind_of_record(cls: type[Any]) -> str | None:
    """What a class with fields is called, in error texts; None for any other class."""
    own = vars(cls)
    if "__dataclass_fields__" in own:
        return "dataclass"
    if "__attrs_attrs__" in own:
        return "attrs class"
    if "__pydantic_validator__" in own and hasattr(cls, "model_validate_json"):
        return "pydantic model"
    return "named tuple" if "_field_defaults" in own and issubclass(cls, tuple) else None
