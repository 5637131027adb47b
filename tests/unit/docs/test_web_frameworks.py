"""The files of ``docs/web-frameworks.md`` make three applications, whose jobs run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from sqs_tasks.integrations.django import framework
from tests.support.worker_processes import environment

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "web-frameworks.md").read_text(encoding="utf-8")
_FILE = re.compile(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"^\| `(sqs_tasks\.[EW]\d+)` \|", re.MULTILINE)

#: What the page leaves out, since it is as in any project of Django.
REST = {
    "shop/__init__.py": "",
    "orders/__init__.py": "",
    "greetings/__init__.py": "",
    "orders/models.py": """
from django.db import models

class Order(models.Model):
    article = models.CharField(max_length=100)
    email = models.EmailField()
    receipt = models.CharField(max_length=200)
""",
    "shop/urls.py": """
from django.urls import path
from orders.views import place_order

urlpatterns = [path("orders", place_order)]
""",
    "all_settings.py": """
from shop.settings import *
from shop.more_settings import TASKS

INSTALLED_APPS = [*INSTALLED_APPS, "greetings"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "run.py": """
from sqs_tasks.app_path import load_app

env = load_app("shop.sqs:env")  # sets Django up, and imports the tasks of the apps

from django.core.management import call_command
from sqs_tasks.testing import drain, in_memory

call_command("check", fail_level="WARNING")
call_command("test", "orders", verbosity=0)

from greetings.tasks import greet_all

with in_memory(env) as session:
    greet_all(["Ada", "Bob"])
    assert drain(env).succeeded == 2
    session.advance(301)
    assert drain(env).succeeded == 1

import fastapi_test, flask_test

fastapi_test.test_an_order_gets_its_receipt()
flask_test.test_an_order_gets_its_receipt()
""",
}


def test_the_files_of_the_page_work(tmp_path: Path) -> None:
    """Django's tests, checks and own tasks; FastAPI's and Flask's test clients."""
    files = dict(_FILE.findall(PAGE))
    assert len(files) == PAGE.count("```python")
    for name, text in {**REST, **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        # The page says what the framework is called where Django has none of its own.
        (tmp_path / name).write_text(text.replace("django.tasks", framework.package() or ""), encoding="utf-8")

    run = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env=environment("http://127.0.0.1:1", DJANGO_SETTINGS_MODULE="all_settings"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "Ran 1 test" in run.stderr
    assert re.findall(r"Hello (\w+), attempt 1 of job [\w-]+", run.stdout) == ["Ada", "Bob", "late"]


def test_the_page_lists_every_check() -> None:
    """By its id, once."""
    folder = ROOT / "sqs_tasks" / "integrations" / "django"
    code = {found for path in folder.glob("*.py") for found in re.findall(r'"(sqs_tasks\.[EW]\d+)"', path.read_text())}

    assert sorted(_ID.findall(PAGE)) == sorted(code)
