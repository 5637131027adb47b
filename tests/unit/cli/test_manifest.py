"""``sqs-tasks manifest``."""

from __future__ import annotations

import json


def test_manifest_says_where_the_app_is(run, app):
    """The command prints the manifest of the application, with its name."""
    result = run("manifest", app.name)

    told = json.loads(result.stdout)
    assert told["app"] == app.name
    assert told == app.env.manifest(app=app.name)


def test_manifest_goes_to_a_file(run, app, directory):
    """``--output`` writes the same text, and a note to standard error."""
    result = run("manifest", app.name, "--output", "out.json")

    assert (result.stdout, result.stderr) == ("", "wrote out.json\n")
    assert (directory / "out.json").read_text() == run("manifest", app.name).stdout


def test_manifest_asks_aws_nothing(run, app, monkeypatch):
    """The manifest needs no credentials."""

    def no_client():
        raise AssertionError("a client was made")

    monkeypatch.setattr(app.env, "client", no_client)

    assert run("manifest", app.name).exit_code == 0
