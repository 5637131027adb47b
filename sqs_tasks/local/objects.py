"""S3 in this process, as far as the bodies of messages need it: what a MemorySession gives for ``client("s3")``."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any


class MemoryObjects:
    """``boto3.client("s3")`` with objects that can be put, obtained, listed and deleted.

    There is every bucket: one is made by the first object in it. Any thread may call it.
    """

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()

    def put_object(self, *, Bucket: str, Key: str, Body: Any = b"", **_options: Any) -> dict[str, Any]:  # noqa: N803  boto3's names
        """Keep an object."""
        data = Body.read() if hasattr(Body, "read") else Body
        with self._lock:
            self._objects[Bucket, Key] = data.encode() if isinstance(data, str) else bytes(data)
        return _answer()

    def get_object(self, *, Bucket: str, Key: str, **_options: Any) -> dict[str, Any]:  # noqa: N803
        """An object.

        Raises:
            ClientError: There is none; its code is NoSuchKey.
        """
        with self._lock:
            data = self._objects.get((Bucket, Key))
        if data is None:
            raise _no_such_key()
        return _answer(Body=io.BytesIO(data), ContentLength=len(data))

    def list_objects_v2(self, *, Bucket: str, Prefix: str = "", **_options: Any) -> dict[str, Any]:  # noqa: N803
        """All objects of a bucket, in one page."""
        with self._lock:
            found = sorted(
                (key, len(data))
                for (bucket, key), data in self._objects.items()
                if bucket == Bucket and key.startswith(Prefix)
            )
        contents = [{"Key": key, "Size": size} for key, size in found]
        return _answer(KeyCount=len(contents), IsTruncated=False, **({"Contents": contents} if contents else {}))

    def delete_object(self, *, Bucket: str, Key: str, **_options: Any) -> dict[str, Any]:  # noqa: N803
        """Delete an object; it need not be there."""
        with self._lock:
            self._objects.pop((Bucket, Key), None)
        return _answer()

    def delete_objects(self, *, Bucket: str, Delete: Mapping[str, Any], **_options: Any) -> dict[str, Any]:  # noqa: N803
        """Delete objects; they need not be there."""
        for one in Delete["Objects"]:
            self.delete_object(Bucket=Bucket, Key=one["Key"])
        return _answer()


def _answer(**values: Any) -> dict[str, Any]:
    return {**values, "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}}


def _no_such_key() -> Exception:
    from botocore.exceptions import ClientError

    error = {"Code": "NoSuchKey", "Message": "The specified key does not exist."}
    return ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 404}}, "GetObject")  # type: ignore[no-any-return]
