"""``sqs-tasks render``."""

from __future__ import annotations

import pytest


def test_a_template_for_a_pipe(run, app):
    """The template alone on standard output; what is not in it on standard error."""
    done = run("render", app.name, "--format", "cloudformation")

    assert done.exit_code == 0
    assert done.stdout.startswith(f"# Queues and workers of {app.name}")
    assert "Timeout: 305" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("note: Alarms and a dashboard are not rendered")


def test_a_file_is_written_whole(run, app, directory):
    """And nothing is left beside it; what cannot be rendered leaves the former one as it was."""
    assert run("render", app.name, "--format", "sam", "-o", "made.yaml", "--code", "x.zip").exit_code == 0
    before = (directory / "made.yaml").read_text()
    refused = run("render", app.name, "--format", "cloudformation", "-o", "made.yaml", "--code", "x.zip")

    assert "CodeUri: x.zip" in before
    assert (refused.exit_code, (directory / "made.yaml").read_text()) == (1, before)
    assert [path.name for path in directory.iterdir() if "made" in path.name] == ["made.yaml"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--format", "pulumi"], 2, "'pulumi' is not one of"),
        ([], 2, "Missing option '--format'"),
        (["--format", "sam", "--max-concurrency", "emails"], 2, "'emails' is not QUEUE=N"),
        (["--format", "sam", "--variable", "DEBUG"], 2, "'DEBUG' is not NAME=VALUE"),
        (["--format", "sam", "--max-concurrency", "mails=5"], 1, "queue 'mails', which no function works"),
        (["--format", "sam", "-o", "missing/template.yaml"], 1, "'missing/template.yaml' cannot be written"),
    ],
)
def test_what_is_wrong_is_said(run, app, words, code, text):
    """The command line is wrong (2), or what it asks for is refused (1)."""
    done = run("render", app.name, *words)

    assert done.exit_code == code
    assert text in done.stderr
    assert done.stdout == ""


def test_options_reach_the_template(run, app):
    """The platform, the key, the concurrency of a queue."""
    key = "arn:aws:kms:us-east-1:123456789012:key/abc"
    words = ["--python", "3.12", "--arch", "x86_64", "--kms-key-arn", key, "--max-concurrency", "emails=7"]
    words += ["--variable", "BANK=https://bank.example/?a=b"]
    made = run("render", app.name, "--format", "sam", *words).stdout

    for line in (
        "Runtime: python3.12",
        "- x86_64",
        f"KmsMasterKeyId: {key}",
        "MaximumConcurrency: 7",
        "BANK: https://bank.example/?a=b",
    ):
        assert line in made
