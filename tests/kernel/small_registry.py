"""A registry on the loopback with the images of one store, for runtimes that pull by themselves; it
lets in one user."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from steersman.images.store import Image, Store

USER = ("somebody", "secret")


def content(store: Store, image: Image, name: str) -> dict[str, tuple[str, Path]]:
    """Returns what is served by its path: media type and file."""
    blobs = {it.digest: it.media_type for it in (image.manifest.config, *image.manifest.layers)}
    of_image = image.manifest.media_type
    places = {f"/v2/{name}/blobs/{it}": (kind, store.blobs.path(it)) for it, kind in blobs.items()}
    manifest = (of_image, store.blobs.path(image.digest))
    return places | {f"/v2/{name}/manifests/{it}": manifest for it in ("1", image.digest)}


@contextlib.contextmanager
def registry(served: dict[str, tuple[str, Path]]) -> Iterator[str]:
    """Serves for a while; yields host and port."""
    expected = "Basic " + base64.b64encode(":".join(USER).encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="here"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            kind, path = served.get(self.path, ("", None))
            data = b"" if path is None else path.read_bytes()
            self.send_response(404 if path is None else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", f"sha256:{path.name}" if path else "")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
