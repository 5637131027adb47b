"""Connections that are kept, against real sockets."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager

import pytest

from sqs_tasks.transport.connections import Connections, NoAnswerError, NotConnectedError

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def endpoint(*scripts):
    """A server whose n-th connection gives the n-th answers, one for each request; then it closes the connection.

    It gives its port, the connections that there were, and an event for each that says that it is closed.
    """
    seen, closed = [], [threading.Event() for _ in scripts]

    def serve():
        for script, event in zip(scripts, closed, strict=True):
            connection, _ = listener.accept()
            seen.append(connection)
            threading.Thread(target=answer, args=(connection, script, event), daemon=True).start()

    def answer(connection, script, event):
        with connection:
            for one in script:
                if not connection.recv(65536):
                    break
                connection.sendall(one)
        event.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], seen, closed


@contextmanager
def endpoint_for(everybody):
    """A server that answers when all have asked; it gives its port and an event for each connection that is ended."""
    ends = [threading.Event() for _ in range(everybody.parties)]

    def serve():
        for end in ends:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection, end), daemon=True).start()

    def answer(connection, end):
        with connection:
            connection.recv(65536)
            everybody.wait(5)
            connection.sendall(ANSWER)
            if not connection.recv(65536):
                end.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], ends


def connections(port, **settings):
    return Connections(
        "http", "127.0.0.1", port, **{"connect_timeout": 2, "read_timeout": 5, "most_idle": 2, **settings}
    )


def test_a_connection_is_used_again():
    """Two requests, one connection."""
    with endpoint([ANSWER, ANSWER]) as (port, seen, _):
        kept = connections(port)

        assert [kept.post({}, b"a").body, kept.post({}, b"b").body] == [b"{}", b"{}"]
        assert len(seen) == 1


def test_one_that_the_endpoint_has_closed_is_not_used():
    """Noticed before a request is sent on it: nothing is sent twice."""
    with endpoint([ANSWER], [ANSWER]) as (port, seen, closed):
        kept = connections(port)
        kept.post({}, b"a")
        assert closed[0].wait(5)

        assert kept.post({}, b"b").status == 200
        assert len(seen) == 2


def test_an_answer_that_ends_early_is_no_answer():
    """The request may have been carried out: the caller knows that it was sent."""
    with endpoint([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"]) as (port, _, _), pytest.raises(NoAnswerError):
        connections(port).post({}, b"a")


def test_an_answer_that_does_not_come_is_no_answer():
    """After the time to wait for it."""
    with endpoint([b""]) as (port, _, _), pytest.raises(NoAnswerError) as caught:
        connections(port, read_timeout=0.05).post({}, b"a")

    assert caught.value.__cause__ is not None


def test_nobody_there():
    """Nothing was sent, and that is known."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NotConnectedError):
        connections(port).post({}, b"a")


def test_an_endpoint_that_closes_is_believed():
    """``Connection: close`` ends it."""
    closing = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with endpoint([closing], [ANSWER]) as (port, seen, _):
        kept = connections(port)
        kept.post({}, b"a")
        kept.post({}, b"b")

    assert len(seen) == 2


def test_more_than_are_kept_are_closed():
    """A burst of threads leaves no more connections than were asked for."""
    answered = threading.Barrier(3)
    with endpoint_for(answered) as (port, ends):
        kept = connections(port)
        threads = [threading.Thread(target=kept.post, args=({}, b"a")) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)

        assert sum(end.wait(0.05) for end in ends) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_has_connections_of_its_own():
    """Two processes that write to one socket would read each other's answers."""
    with endpoint([ANSWER, ANSWER], [ANSWER]) as (port, seen, _):
        kept = connections(port)
        kept.post({}, b"a")

        child = os.fork()
        if child == 0:
            os._exit(0 if kept.post({}, b"child").status == 200 and len(kept._idle) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

        assert kept.post({}, b"b").status == 200
        assert len(seen) <= 2
