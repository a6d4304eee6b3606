"""A server of files that costs next to nothing, so that a bench of downloads measures the downloader.

python -m tests.bench.peers.source FOLDER PORT

A path that begins with `/slow/` comes at 64 KiB a second.
"""

import http.server
import os
import sys
import time
from pathlib import Path

#: bytes at once, and bytes a second, of what comes slowly
STEP, SLOW = 8192, 65536


class _Files(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        with (self.folder / Path(self.path).name).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.send_header("Content-Type", "video/mp4")
            self.send_header("ETag", f'"{size}"')
            self.end_headers()
            self.wfile.flush()
            sent = 0 if with_body else size
            is_slow = self.path.startswith("/slow/")
            while sent < size:
                length = min(STEP, size - sent) if is_slow else size - sent
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, length)
                if is_slow:
                    time.sleep(length / SLOW)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    _Files.folder = Path(sys.argv[1])
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), _Files).serve_forever()
