"""A server that answers the requests of Google Cloud Storage for single objects, with their conditions."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from obstore.store import from_url


@contextmanager
def google_store(bucket: str) -> Iterator[Any]:
    """A client of ``obstore`` for a bucket that is there during the block."""
    objects: dict[str, tuple[bytes, int]] = {}
    generations = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            expected = self.headers.get("x-goog-if-generation-match")
            _, generation = objects.get(self.path, (b"", 0))
            if expected is not None and int(expected) != generation:
                return self._answer(412)
            objects[self.path] = content, next(generations)
            return self._answer(200)

        def do_GET(self) -> None:
            self._answer(200 if self.path in objects else 404, with_content=True)

        do_HEAD = do_GET

        def _answer(self, status: int, *, with_content: bool = False) -> None:
            content, generation = objects.get(self.path, (b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content) if with_content and status == 200 else 0))
            self.send_header("Last-Modified", formatdate(usegmt=True))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("x-goog-generation", str(generation))
            self.end_headers()
            if with_content and status == 200 and self.command == "GET":
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names = ("client_email", "private_key", "private_key_id")
    account = dict.fromkeys(names, "") | {
        "gcs_base_url": f"http://127.0.0.1:{server.server_port}",
        "disable_oauth": True,
    }
    try:
        yield from_url(
            f"gs://{bucket}",
            config={"google_service_account_key": json.dumps(account)},
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
    finally:
        server.shutdown()
        server.server_close()
