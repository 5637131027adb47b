"""A database for these tests alone, named before the application is imported."""

from __future__ import annotations

import os
import tempfile

_directory = tempfile.TemporaryDirectory(prefix="fastapi-shop-")
os.environ.setdefault("FASTAPI_SHOP_DATABASE", f"sqlite+aiosqlite:///{_directory.name}/shop.sqlite3")
