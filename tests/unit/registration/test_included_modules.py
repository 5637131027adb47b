"""``include`` names the modules that register tasks, so that none is forgotten."""

from __future__ import annotations

import sys

import pytest

from sqs_tasks import SQSEnv
from sqs_tasks.app_path import load_app
from sqs_tasks.errors import ConfigurationError
from sqs_tasks.testing import in_memory

MODULES = {
    "inc/__init__.py": "",
    "inc/env.py": "from sqs_tasks import SQSEnv\nenv = SQSEnv(include={include})\nq = env.queue('q')\n",
    "inc/tasks.py": "from inc.env import q\n@q.processor('one')\ndef one(): ...\n",
    "inc/mail/__init__.py": "",
    "inc/mail/tasks.py": "from inc.env import q\n@q.processor('two')\ndef two(): ...\n",
    "inc/mail/broken.py": "import no_such_package\n",
    "inc/web/__init__.py": "",
}


@pytest.fixture
def application(tmp_path, monkeypatch):
    """Writes the package ``inc``, whose environment includes what is given."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(include):
        for name, text in MODULES.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{include}", repr(include)))

    yield write
    for name in [one for one in sys.modules if one.partition(".")[0] == "inc"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("include", "tasks"),
    [
        (["inc.tasks"], ["one"]),
        (["inc.tas*"], ["one"]),
        (["inc.*.tasks"], ["two"]),
        (["inc.m*.t*"], ["two"]),
        (["inc.mail.tasks", "inc.tasks", "inc.tasks"], ["two", "one"]),
        ([], []),
    ],
)
def test_the_included_modules_register_their_tasks(application, include, tasks):
    """Names and globs, in the order in which they are given; the module of the environment imports none of them."""
    application(include)

    env = load_app("inc.env:env")

    assert [task.name for task in env.queues["q"].tasks] == tasks


def test_producers_import_nothing_and_every_reader_of_the_registry_does(application):
    """The manifest, the selection of a worker and tests in memory see all tasks."""
    for read in (lambda env: env.manifest(), lambda env: env.select_queues(), lambda env: in_memory(env).__enter__()):
        application(["inc.tasks"])
        import inc.env

        assert "inc.tasks" not in sys.modules
        read(inc.env.env)
        assert [task.name for task in inc.env.q.tasks] == ["one"]
        for name in [one for one in sys.modules if one.partition(".")[0] == "inc"]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("include", "why"),
    [
        (["inc.nothing"], "include has 'inc.nothing', and there is no module 'inc.nothing'"),
        (["inc.web.*"], "include='inc.web.*' matches no module"),
        (["nowhere.*"], "there is no module 'nowhere'"),
        ("inc.tasks", "must be a list of names of modules"),
        (["*.tasks"], "must be a list of names of modules"),
        ([5], "must be a list of names of modules"),
    ],
)
def test_a_module_that_is_not_there_is_refused(application, include, why):
    """A registry that lost a module would lose its workers with the next deploy."""
    application(include)

    with pytest.raises(ConfigurationError, match=why.replace("*", r"\*")):
        load_app("inc.env:env")


def test_what_a_module_raises_is_raised_as_it_is(application):
    """Its own missing import is the author's to see."""
    application(["inc.mail.broken"])

    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        load_app("inc.env:env")


def test_modules_are_imported_once():
    """The second look at the registry asks nobody."""
    env = SQSEnv(include=["json"])
    env.load_tasks()
    env._to_import = ()
    env.load_tasks()
    assert env.select_queues() == []
