"""An object store for tests: moto's server, which speaks S3, and what it was asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

BUCKET = "pictures"
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-is-told-nobody",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


_STATUS = {"InternalError": 500, "ServiceUnavailable": 503, "SlowDown": 503}


class ObjectStore:
    """One bucket, and a count of the reads of each key."""

    def __init__(self, port: int, reads: list[str]) -> None:
        import boto3

        self.url = f"http://127.0.0.1:{port}"
        self.environment = {**_ENVIRONMENT, "AWS_ENDPOINT_URL": self.url}
        self.refuses: Callable[[str, str], str | None] = lambda *_: None
        """Of a method and a path the code of the error that is answered, if any."""
        self.headers: set[str] = set()
        """Of Amazon's own, which it was sent so far, in capitals."""
        self._reads = reads
        self._client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        self._client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, content: bytes) -> str:
        """Keep an object; its place."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def delete(self, key: str) -> None:
        """Forget one."""
        self._client.delete_object(Bucket=BUCKET, Key=key)

    def get(self, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str) -> list[str]:
        """All that begin so."""
        found = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]

    def reads(self) -> list[str]:
        """The keys that were read so far, once for each time."""
        return list(self._reads)


def _forget_clients() -> None:
    """Those that this process has made for another store, which answers no more."""
    import s3fs

    from lookalike import objects

    objects._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


@contextlib.contextmanager
def running() -> Iterator[ObjectStore]:
    """Skips the test where moto or s3fs is missing."""
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    pytest.importorskip("s3fs", reason="needs s3fs")
    from werkzeug.serving import make_server

    reads: list[str] = []
    store: ObjectStore | None = None
    answer = server.DomainDispatcherApplication(server.create_backend_app)

    def counting(asked: dict[str, Any], start: Any) -> Any:
        if asked["REQUEST_METHOD"] == "GET" and "list-type" not in asked["QUERY_STRING"]:
            key = asked["PATH_INFO"].encode("latin-1").decode("utf-8")
            bucket = f"/{BUCKET}/"
            if key.startswith(bucket) and len(key) > len(bucket):
                reads.append(key.removeprefix(bucket))
        if store:
            store.headers |= {each for each in asked if each.startswith("HTTP_X_AMZ_")}
        code = store.refuses(asked["REQUEST_METHOD"], asked["PATH_INFO"]) if store else None
        if code is None:
            return answer(asked, start)
        asked["wsgi.input"].read(int(asked.get("CONTENT_LENGTH") or 0))
        start(f"{_STATUS.get(code, 403)} Refused", [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()]

    import logging
    import threading

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = make_server("127.0.0.1", 0, counting, threaded=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        store = ObjectStore(running.port, reads)
        with patch.dict(os.environ, store.environment):
            _forget_clients()
            yield store
    finally:
        running.shutdown()
        thread.join()
