"""What the settings of a Django project say of its environment: ``SQS_TASKS = {"APP": "shop.sqs:env"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from sqs_tasks.errors import ConfigurationError

#: The setting.
SETTING = "SQS_TASKS"


def app_of_settings() -> str:
    """Where the environment is, as ``module:attribute``.

    Raises:
        ConfigurationError: The settings do not say.
    """
    found: Any = getattr(settings, SETTING, None)
    app = found.get("APP") if isinstance(found, Mapping) else None
    if not isinstance(app, str) or not app:
        raise ConfigurationError(
            f"the settings have {SETTING} = {found!r}, and it must name the environment as module:attribute; "
            f'set {SETTING} = {{"APP": "shop.sqs:env"}}'
        )
    return app
