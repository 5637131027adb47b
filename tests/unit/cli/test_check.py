"""``sqs-tasks check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sqs_tasks.cli.group import main

YAML = """\
AWSTemplateFormatVersion: 2010-09-09
Parameters: {Seconds: {Type: Number}}
Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 20
      RedrivePolicy: {deadLetterTargetArn: !Sub "arn:aws:sqs:${AWS::Region}:${AWS::AccountId}:dead", maxReceiveCount: 3}
  Work:
    Type: AWS::Lambda::Function
    Properties: {Timeout: 30, MemorySize: !If [Big, 1024, !Ref Seconds]}
  Feed:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Jobs.Arn
      FunctionName: !Ref Work
      FunctionResponseTypes: [ReportBatchItemFailures]
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.yaml"
    path.write_text(YAML)
    return path


def run(*arguments: object) -> tuple[int, str]:
    """The exit code and the output."""
    result = CliRunner().invoke(main, ["check", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_table_of_findings(template: Path) -> None:
    """Errors come first, each with its id, and the exit code says that there are some."""
    code, output = run(template)
    lines = output.splitlines()

    assert code == 1
    assert lines[0].split() == ["severity", "id", "resource", "what"]
    assert lines[1].startswith(
        "error     R2-visibility    Jobs      VisibilityTimeout is 20 s, but function Work may take"
    )
    assert lines[2].startswith("warning   R3-few-receives  Jobs      maxReceiveCount is 3")
    assert len(lines) == 3


def test_what_is_meant_is_ignored_by_its_id(template: Path) -> None:
    """Warnings alone are no failure unless they are asked to be."""
    assert run(template, "--ignore", "R2-visibility")[0] == 0
    assert run(template, "--ignore", "R2-visibility", "--strict")[0] == 1
    assert run(template, "--ignore", "R2-visibility", "--ignore", "R3-few-receives", "--strict") == (
        0,
        "nothing is found\n",
    )


def test_findings_as_json(template: Path) -> None:
    """For a build: the template, the id, the severity, the resource and the text of each."""
    code, output = run(template, template, "--json")
    findings = json.loads(output)

    assert code == 1
    assert [one["id"] for one in findings] == ["R2-visibility", "R3-few-receives"] * 2
    assert findings[0].keys() == {"template", "id", "severity", "resource", "text"}
    assert findings[0]["template"] == str(template)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("other.json", '{"queues": []}', "has no Resources"),
        ("broken.json", "{", "is not JSON"),
        ("broken.yaml", "a: [", "is not YAML"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_what_is_no_template_is_not_checked(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    """A build must not take a wrong path for a clean template."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    code, output = run(path)

    assert code == 2
    assert said in output
