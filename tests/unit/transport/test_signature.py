"""Signatures, held to AWS's published examples and, for any request of SQS, to botocore's signer."""

from __future__ import annotations

import datetime as dt

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from sqs_tasks.transport.signature import Credentials, Signer, Timestamps

#: Of AWS's test suite for Signature Version 4.
EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TIME = "20150830T123600Z"
HOST = ("host", "example.amazonaws.com")
DATE = ("x-amz-date", TIME)


@pytest.mark.parametrize(
    ("method", "headers", "body", "signature"),
    [
        pytest.param(
            "GET",
            [HOST, DATE],
            b"",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="get-vanilla",
        ),
        pytest.param(
            "POST",
            [HOST, DATE],
            b"",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            id="post-vanilla",
        ),
        pytest.param(
            "POST",
            [("content-type", "application/x-www-form-urlencoded"), HOST, DATE],
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
    ],
)
def test_published_examples(method, headers, body, signature):
    """The names of the examples are those of AWS's test suite."""
    signer = Signer("service", "us-east-1")

    value = signer.authorization(EXAMPLE, TIME, headers, body, method=method)

    assert value == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={';'.join(name for name, _ in headers)}, Signature={signature}"
    )


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@settings(max_examples=50)
@given(
    key=WORDS,
    secret=WORDS,
    token=st.none() | WORDS,
    body=st.binary(max_size=200),
    target=WORDS,
    days=st.lists(st.integers(0, 20_000), min_size=1, max_size=3),
)
def test_any_request_is_signed_as_botocore_signs_it(key, secret, token, body, target, days):
    """Byte for byte, over several days with one signer, whose key is kept for a day."""
    signer = Signer("sqs", "eu-west-1")
    for day in days:
        moment = dt.datetime(2015, 8, 30, 12, 36) + dt.timedelta(days=day)
        timestamp = moment.strftime("%Y%m%dT%H%M%SZ")
        request = AWSRequest(
            "POST",
            "https://sqs.eu-west-1.amazonaws.com/",
            headers={
                "X-Amz-Target": target,
                "Content-Type": "application/x-amz-json-1.0",
                "x-amzn-query-mode": "true",
                "User-Agent": "nobody",
            },
            data=body,
        )
        theirs = SigV4Auth(BotocoreCredentials(key, secret, token), "sqs", "eu-west-1")
        request.context["timestamp"] = timestamp
        theirs._modify_request_before_signing(request)
        text = theirs.string_to_sign(request, theirs.canonical_request(request))
        theirs._inject_signature_to_request(request, theirs.signature(text, request))
        names = request.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        values = {
            **{name.lower(): value for name, value in request.headers.items()},
            "host": "sqs.eu-west-1.amazonaws.com",
        }

        ours = signer.authorization(
            Credentials(key, secret, token), timestamp, [(name, values[name]) for name in names], body
        )

        assert ours == request.headers["Authorization"]


def test_other_credentials_of_the_same_day_have_another_key():
    """A key is kept for who signed last, and for nobody else."""
    signer = Signer("service", "us-east-1")
    first = signer.authorization(EXAMPLE, TIME, [HOST, DATE], b"")

    other = signer.authorization(EXAMPLE._replace(secret_key="other"), TIME, [HOST, DATE], b"")

    assert other != first
    assert signer.authorization(EXAMPLE, TIME, [HOST, DATE], b"") == first


def test_timestamps_follow_the_clock_and_what_is_known_of_its_error(monkeypatch):
    """The text is written once a second, and anew when the clock turns out to be wrong."""
    monkeypatch.setattr("time.time", lambda: 1_440_938_160.9)
    timestamps = Timestamps()
    assert timestamps.now() == timestamps.now() == TIME

    timestamps.skew_seconds = 60

    assert timestamps.now() == "20150830T123700Z"
