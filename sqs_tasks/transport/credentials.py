"""Who signs: the credentials in the environment, or those that botocore finds."""

from __future__ import annotations

import os
from collections.abc import Callable

from sqs_tasks.transport.signature import Credentials


def credentials_here() -> Callable[[], Credentials]:
    """What gives the credentials of each request.

    Those of the environment are read once: a client whose credentials are refused is made anew. Others are botocore's
    to find and to renew before they expire: roles of containers and machines, SSO, files.

    Raises:
        NoCredentialsError: Of botocore: nobody has any.
    """
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        credentials = Credentials(access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN") or None)
        return lambda: credentials
    return _found_by_botocore()


def _found_by_botocore() -> Callable[[], Credentials]:
    from botocore.exceptions import NoCredentialsError
    from botocore.session import get_session

    found = get_session().get_credentials()
    if found is None:
        raise NoCredentialsError

    def frozen() -> Credentials:
        now = found.get_frozen_credentials()
        return Credentials(now.access_key, now.secret_key, now.token)

    return frozen
