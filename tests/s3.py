"""A server like S3 that writes down what it is asked: python tests/s3.py REQUESTS; it prints its port.

With a second argument it ignores conditions (If-None-Match, If-Match), as some servers do. The first time
that an object with :data:`LOSES_ANSWER` in its name is written on a condition, it fails after it has done so.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

Environ = dict[str, Any]
Application = Callable[..., Iterable[bytes]]
READS = ("GET", "HEAD")
LOSES_ANSWER = "loses-answer"
CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")


class Recorded:
    """An application, each of whose answers leaves a line of JSON in a file.

    Writes come one after the other, since moto's conditional writes look first and write then.
    """

    def __init__(self, application: Application, requests: Path, *, ignores_conditions: bool) -> None:
        self._application = application
        self._ignores_conditions = ignores_conditions
        self._requests = requests
        self._lost: set[str] = set()
        self._one = threading.Lock()
        self._writes = threading.Lock()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self._record(environ, status, dict(headers))
            return start_response(status, headers, *error)

        if environ["REQUEST_METHOD"] in READS:
            return self._application(environ, start)
        if self._ignores_conditions:
            environ = {name: value for name, value in environ.items() if name not in CONDITIONS}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with self._writes:
            if self._loses_answer(environ):
                list(self._application({**environ, "wsgi.input": io.BytesIO(body)}, lambda *_: None))
                start("500 Internal Server Error", [])
                return []
            return list(self._application({**environ, "wsgi.input": io.BytesIO(body)}, start))

    def _loses_answer(self, environ: Environ) -> bool:
        path = environ["PATH_INFO"]
        if LOSES_ANSWER not in path or path in self._lost or not any(map(environ.get, CONDITIONS)):
            return False
        self._lost.add(path)
        return True

    def _record(self, environ: Environ, status: str, headers: dict[str, str]) -> None:
        method = environ["REQUEST_METHOD"]
        line = json.dumps(
            {
                "method": method,
                "path": environ["PATH_INFO"],
                "query": environ["QUERY_STRING"],
                "status": int(status.split()[0]),
                "received": int(environ.get("CONTENT_LENGTH") or 0),
                "sent": 0 if method == "HEAD" else int(headers.get("Content-Length", 0)),
            }
        )
        with self._one, self._requests.open("a") as file:
            file.write(f"{line}\n")


def serve(requests: Path, *, ignores_conditions: bool) -> None:
    """On a port of 127.0.0.1 that nobody uses, until killed."""
    application = Recorded(
        DomainDispatcherApplication(create_backend_app), requests, ignores_conditions=ignores_conditions
    )
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), ignores_conditions=len(sys.argv) > 2)
