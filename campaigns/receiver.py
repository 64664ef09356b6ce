"""A brand's own server for webhooks: it accepts deliveries and answers as a test says."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Listens on a port of this machine while it runs; can be stopped and started again on the same port."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        #: What to answer, one delivery after the other; then 200. A status, or something to do with the request.
        self.answers: list[int | Callable[[BaseHTTPRequestHandler], None]] = []
        #: What came: the path, the headers and the body.
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}/hooks"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver._lock:
                    receiver.received.append((self.path, dict(self.headers), body))
                    answer = receiver.answers.pop(0) if receiver.answers else 200
                if callable(answer):
                    answer(self)
                else:
                    self.send_response(answer)
                    self.end_headers()

            def do_GET(self) -> None:
                receiver.received.append((self.path, dict(self.headers), b"GET"))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """Ignore a sender that hangs up."""

        self._server = Server((self.address, self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def verified(self, secret: str) -> list[Any]:
        """The bodies that came. Raises if a signature is wrong."""
        from standardwebhooks.webhooks import Webhook  # late: a reference of the tests, which campaigns do without

        return [Webhook(secret).verify(body.decode(), headers) for _, headers, body in list(self.received)]

    def wait_for(self, number: int, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while len(self.received) < number:
            assert time.monotonic() < deadline, f"{len(self.received)} of {number} came"
            time.sleep(0.02)


@contextmanager
def running(address: str = "127.0.0.1") -> Iterator[Receiver]:
    receiver = Receiver(address)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def redirect(to: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a redirect."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(307)
        request.send_header("Location", to)
        request.end_headers()

    return answer


def hang(request: BaseHTTPRequestHandler) -> None:
    """Answer a byte now and then, without end."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(200):
        request.wfile.write(b"x-more: of this\r\n")
        request.wfile.flush()
        time.sleep(0.1)


def flood(request: BaseHTTPRequestHandler) -> None:
    """Answer 200 with an endless body."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"x" * 65536)


def chatter(request: BaseHTTPRequestHandler) -> None:
    """Answer without end that an answer is to come, as fast as it is read."""
    while True:
        request.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 1000)


def boast(request: BaseHTTPRequestHandler) -> None:
    """Answer with headers without end, as fast as they are read."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        request.wfile.write(b"x-more: of this\r\n" * 1000)
