"""An endpoint URL for the processes of one session."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from sqs_tasks.local.server import LocalSQSServer
from tests.support.worker_processes import client


def test_processes_of_another_session_are_refused():
    """They would take the jobs of this one and run them in old code; all others are served."""
    with LocalSQSServer(session="one") as server:
        own, any_other, old = (
            client(url) for url in (server.session_url, server.endpoint_url, server.session_url.replace("one", "zero"))
        )
        url = own.create_queue(QueueName="q")["QueueUrl"]
        any_other.send_message(QueueUrl=url, MessageBody="x")

        with pytest.raises(ClientError, match=r"SessionOver.*earlier session"):
            old.receive_message(QueueUrl=url)
        assert own.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "x"

        assert url.startswith(server.endpoint_url + "/0")  # a URL of a queue is the same for all
        for one in (own, any_other, old):
            one.close()
