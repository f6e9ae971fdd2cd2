"""A package index on loopback that offers a higher version of every name that is ours, and notes who asks."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "9.9.9"


class TrapIndex:
    """The names it offers, and the names it was asked for, in order."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self.asked: list[str] = []
        self.url = ""

    def trapped(self) -> list[str]:
        """The requests for a name that is ours; there should be none."""
        return [name for name in self.asked if name in self.names]

    def answer(self, path: str) -> bytes | None:
        """The page or file at `path`; None if the index does not have it."""
        kind, _, rest = path.strip("/").partition("/")
        name = rest.partition("/")[0]
        if kind == "files":
            return _wheel(rest.removesuffix(".whl").split("-")[0])
        self.asked.append(name)
        if kind != "simple" or name not in self.names:
            return None
        file = f"{name.replace('-', '_')}-{VERSION}-py3-none-any.whl"
        return f'<!DOCTYPE html><a href="/files/{file}">{file}</a>'.encode()


def _wheel(module: str) -> bytes:
    info = f"{module}-{VERSION}.dist-info"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: {VERSION}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: trap\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


@contextlib.contextmanager
def serving(names: Iterable[str]) -> Iterator[TrapIndex]:
    """Run an index that offers `names` until the block ends."""
    index = TrapIndex(names)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = index.answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header(
                "Content-Type", "text/html" if "/simple/" in self.path else "application/octet-stream"
            )
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args: object) -> None:
            """Say nothing: the index keeps its own list."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}/simple/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
