"""A database for these tests alone, named before the application is imported."""

from __future__ import annotations

import os
import tempfile

_directory = tempfile.TemporaryDirectory(prefix="flask-shop-")
os.environ.setdefault("FLASK_SHOP_DATABASE", f"sqlite:///{_directory.name}/shop.sqlite3")
