"""Ports that cannot be had: one line that says which, and what to do."""

from __future__ import annotations

import socket

import pytest

from tests.support.ports import free_ports


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("port", ["99999", "-1"])
@pytest.mark.parametrize("words", [("local-sqs",), ("dev", "cli_app:env")])
def test_port_that_there_is_not_is_wrong_usage(run, app, words, port):
    """A port outside 0 to 65535 is exit code 2."""
    result = run(*words, "--port", port)

    assert result.exit_code == 2
    assert "0<=x<=65535" in result.stderr


def test_health_port_that_is_taken_is_one_line(run, app, taken):
    """The error names the port and the option."""
    result = run("worker", app.name, "--idle-seconds", "0", "--health-port", taken)

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: cannot answer for the health on port {taken}: ")
    assert "--health-port" in result.stderr


def test_health_port_of_several_processes_that_is_taken_is_one_line(run, app, taken):
    """The supervisor listens on it, before it starts anything."""
    result = run("worker", app.name, "-p", "2", "--health-port", taken)

    assert result.exit_code == 1
    assert f"on port {taken}: " in result.stderr.splitlines()[-1]


def test_port_after_it_that_is_taken_is_one_line_too(run, app):
    """A worker of the supervisor answers there; it would be started again and again."""
    first = free_ports(3)
    port = first + 2
    with socket.create_server(("127.0.0.1", port)):
        result = run("worker", app.name, "-p", "2", "--health-port", first)

    assert result.exit_code == 1
    assert f"of worker 1 on port {port}: " in result.stderr.splitlines()[-1]
    assert run("worker", app.name, "-p", "2", "--health-port", 65535).exit_code == 1


def test_address_of_another_machine_is_not_mended_by_another_port(run):
    """A wrong address gets the advice that fits it."""
    result = run("local-sqs", "--host", "192.0.2.1", "--port", "0")

    assert result.exit_code == 1
    assert "--host must be an address of this machine" in result.stderr
    assert "--port 0" not in result.stderr
