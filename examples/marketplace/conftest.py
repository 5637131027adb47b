"""A database for these tests alone, named before the application is imported."""

from __future__ import annotations

import os
import tempfile

_directory = tempfile.TemporaryDirectory(prefix="marketplace-")
os.environ.setdefault("MARKETPLACE_DATABASE", f"sqlite:///{_directory.name}/marketplace.sqlite3")
