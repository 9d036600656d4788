"""A local HTTP server that misbehaves as it is told."""

import http.server
import re
import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path


class Server:
    """A local HTTP server with resumable downloads. `faults` are done one per request, then it behaves.

    Faults: an HTTP status; "truncate" (promise all, send half); "reset" (the same, then a TCP reset); "refuse" (reset
    at once); "corrupt" (change a byte); "no length"; "ignore range"; "wrong range"; "stall" (send half, then nothing);
    "foreign range" and "no range" (206, unasked); "drip", "drip headers" and "drip chunks" (a byte now and then).
    `retry_after` is sent with every status.
    """

    def __init__(self, files):
        self.files, self.faults, self.requests, self.retry_after = files, [], [], None
        self.done = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/data"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.done.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        fault = self.faults.pop(0) if self.faults else None
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        self.requests.append((Path(request.path).name, int(wanted[1]) if wanted else None, fault))
        content = self.files.get(Path(request.path).name)
        if fault == "refuse":
            return self.reset(request)
        if isinstance(fault, int) or content is None:
            return self.refuse(request, fault or 404)
        if str(fault).startswith("drip"):
            return self.drip(request, fault)
        if fault == "corrupt":
            content = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
        start = int(wanted[1]) if wanted and fault not in ("ignore range", "no length") else 0
        if start and start >= len(content):
            return request.send_error(416)
        if start and fault == "wrong range":
            start -= 5
        request.send_response(206 if start or fault in ("foreign range", "no range") else 200)
        if fault == "foreign range":
            request.send_header("Content-Range", f"bytes 5-{len(content) - 1}/{len(content)}")
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if fault != "no length":
            request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        body = content[start:]
        if fault in ("truncate", "reset", "stall"):
            body = body[: len(body) // 2]
        request.wfile.write(body)
        if fault == "stall":
            request.wfile.flush()
            self.done.wait(10)
        if fault == "reset":
            time.sleep(0.05)  # a reset discards what the client has not fetched yet
            self.reset(request)
        return None

    def refuse(self, request, status):
        request.send_response(status)
        if self.retry_after:
            request.send_header("Retry-After", self.retry_after)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def drip(self, request, fault):
        """A byte of the headers, of the size of a chunk or of the content every 0.05 s."""
        ready = {"drip headers": b"HTTP/1.1 200 OK\r\nX-Slow: ", "drip": b"HTTP/1.1 200 OK\r\n\r\n"}
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        with suppress(OSError):
            request.wfile.write(ready.get(fault, chunked))
            while not self.done.wait(0.05):
                request.wfile.write(b"0")
        request.close_connection = True

    @staticmethod
    def reset(request):
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()
        request.close_connection = True
        request.wfile = request.rfile  # the handler flushes wfile at the end

    def ranges(self):
        return [start for _, start, _ in self.requests]
