"""What the lean client is set to, from what boto3 would read; or why boto3 has to make the requests."""

from __future__ import annotations

import os.path
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from urllib.parse import urlsplit

#: Settings of ``botocore.config.Config`` that the lean client has as well.
_HONOURED = frozenset(
    {
        "connect_timeout",
        "read_timeout",
        "max_pool_connections",
        "retries",
        "user_agent_appid",
        "parameter_validation",
        "tcp_keepalive",
        "region_name",
    }
)
#: Variables of botocore that choose other endpoints or ways; each makes boto3's client the right one.
_OTHER_WAYS = (
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_DATA_PATH",
)
#: What changes botocore's clients for its own ends, such as tracing; going round botocore would lose that in silence.
_CHANGES_BOTOCORE = (
    "aws_xray_sdk",
    "opentelemetry.instrumentation.botocore",
    "ddtrace",
    "newrelic",
    "moto",
    "elasticapm",
)

_STANDARD_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d")
_GOVERNMENT_REGION = re.compile(r"us-gov-[a-z]+-\d")
_CHINESE_REGION = re.compile(r"cn-[a-z]+-\d")


@dataclass(frozen=True, kw_only=True)
class LeanSettings:
    """Where SQS is, and how long to wait for it. Times are seconds."""

    region: str
    endpoint_url: str | None = None
    connect_timeout: float = 5
    read_timeout: float = 30
    max_attempts: int = 4
    max_pool_connections: int = 50
    ca_bundle: str | None = None
    app_id: str | None = None

    def endpoint_of(self, region: str) -> str:
        """The URL of SQS in a region, or the one that was given for all."""
        if self.endpoint_url is not None:
            return self.endpoint_url.rstrip("/")
        suffix = "amazonaws.com.cn" if _CHINESE_REGION.fullmatch(region) else "amazonaws.com"
        return f"https://sqs.{region}.{suffix}"


def lean_settings(
    config: Mapping[str, Any], *, endpoint_url: str | None, region_name: str | None, variables: Mapping[str, str]
) -> LeanSettings | str:
    """The settings; or, as a text, what the lean client does not have and boto3 does.

    Args:
        config: Keyword arguments of ``botocore.config.Config`` over the library's own.
        endpoint_url: Where SQS is; None leaves it to the variables.
        region_name: The region; None leaves it to the variables.
        variables: The process's environment.
    """
    unknown = sorted(config.keys() - _HONOURED)
    retries: Mapping[str, Any] = config.get("retries") or {}
    region = (
        region_name or config.get("region_name") or variables.get("AWS_DEFAULT_REGION") or variables.get("AWS_REGION")
    )
    url = endpoint_url
    if not url and variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        url = variables.get("AWS_ENDPOINT_URL_SQS") or variables.get("AWS_ENDPOINT_URL")
    reason = (
        (f"client_config has {unknown[0]}" if unknown else None)
        or _other_retries(retries)
        or next(
            (f"{name} is set" for name in _OTHER_WAYS if variables.get(name, "").lower() not in {"", "false"}), None
        )
        or next((f"{name} changes botocore's clients" for name in _CHANGES_BOTOCORE if name in sys.modules), None)
        or _patched_botocore()
        or _configuration_file(variables)
        or (None if region else "no region is set")
        or _unknown_place(str(region), url)
    )
    if reason is not None:
        return reason
    # botocore counts tries after the first here, and leaves AWS_MAX_ATTEMPTS aside where the code says a number.
    attempts = int(retries.get("total_max_attempts") or int(retries.get("max_attempts", 3)) + 1)
    return LeanSettings(
        region=str(region),
        endpoint_url=url or None,
        connect_timeout=float(config.get("connect_timeout", 5)),
        read_timeout=float(config.get("read_timeout", 30)),
        max_attempts=attempts,
        max_pool_connections=int(config.get("max_pool_connections", 50)),
        ca_bundle=variables.get("AWS_CA_BUNDLE") or None,
        app_id=config.get("user_agent_appid") or variables.get("AWS_SDK_UA_APP_ID"),
    )


def _other_retries(retries: Mapping[str, Any]) -> str | None:
    mode = retries.get("mode") or "standard"
    if mode != "standard":
        return f"the retry mode is {mode}"
    other = sorted(retries.keys() - {"mode", "max_attempts", "total_max_attempts"})
    return f"client_config's retries have {other[0]}" if other else None


def _patched_botocore() -> str | None:
    """Tests put a double in the place of the one function that makes botocore's requests, and tracers wrap it."""
    module = sys.modules.get("botocore.client")
    call = None if module is None else vars(module.BaseClient).get("_make_api_call")
    if call is None or (isinstance(call, FunctionType) and call.__module__ == "botocore.client"):
        return None
    return "botocore's BaseClient._make_api_call has been replaced"


def _configuration_file(variables: Mapping[str, str]) -> str | None:
    """A file may say anything that botocore knows: endpoints, proxies, certificates."""
    path = os.path.expanduser(variables.get("AWS_CONFIG_FILE") or "~/.aws/config")  # noqa: PTH111 - a cold start has no pathlib
    return f"there is a configuration file, {path}" if os.path.isfile(path) else None  # noqa: PTH113 - the same


def _unknown_place(region: str, url: str | None) -> str | None:
    if url:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or parts.path not in {"", "/"} or parts.query or "@" in parts.netloc:
            return "the endpoint's URL has more than a scheme, a host and a port"
        return None
    known = (_STANDARD_REGION, _GOVERNMENT_REGION, _CHINESE_REGION)
    return None if any(one.fullmatch(region) for one in known) else f"the region is {region}"
