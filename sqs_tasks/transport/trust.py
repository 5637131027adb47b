"""Which certificates are trusted: those that boto3 trusts."""

from __future__ import annotations

import importlib.util
import os
import ssl
from functools import lru_cache


@lru_cache(maxsize=8)
def trusting(ca_bundle: str | None) -> ssl.SSLContext:
    """The TLS settings of clients, made once: to read a hundred certificates takes as long as several requests.

    Args:
        ca_bundle: A file of certificates to trust, as AWS_CA_BUNDLE names it; None for those that botocore brings, or
            the system's where it is not installed.
    """
    context = ssl.create_default_context(cafile=ca_bundle or _botocore_bundle())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _botocore_bundle() -> str | None:
    # Found, not imported: a container without certificates of its own still reaches AWS, as with boto3.
    spec = importlib.util.find_spec("botocore")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        bundle = os.path.join(folder, "cacert.pem")  # noqa: PTH118 - pathlib would be imported for this alone
        if os.path.exists(bundle):  # noqa: PTH110 - the same
            return bundle
    return None
