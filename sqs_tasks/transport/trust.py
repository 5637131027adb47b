"""Which certificates are trusted: those that boto3 trusts."""

from __future__ import annotations

import importlib.util
import ssl
from functools import lru_cache
from pathlib import Path


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
        bundle = Path(folder) / "cacert.pem"
        if bundle.exists():
            return str(bundle)
    return None
