"""Real servers, each in a thread, that keep what they are sent: one for HTTP, one for mails."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Received(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    content: Any
    """The JSON that was sent; None for nothing."""


class HttpInbox:
    """What an HTTP server was sent, and how it answers: with `answers` one by one, then with 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[int] = []
        self.url = ""


@contextmanager
def http_inbox() -> Iterator[HttpInbox]:
    inbox = HttpInbox()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = inbox.answers.pop(0) if inbox.answers else 200
            inbox.received.append(
                Received(self.command, self.path, dict(self.headers), json.loads(data) if data else None)
            )
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", inbox.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._take
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield inbox
        finally:
            server.shutdown()
            thread.join()


class Letter(NamedTuple):
    sender: str
    recipients: list[str]
    message: Message


class MailInbox:
    """What a mail server was sent; addresses in `refused` are refused, for good."""

    def __init__(self) -> None:
        self.received: list[Letter] = []
        self.refused: list[str] = []
        self.url = ""


@contextmanager
def mail_inbox() -> Iterator[MailInbox]:
    inbox = MailInbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.say("220 inbox")
            sender, recipients = "", []
            while line := self.rfile.readline().decode().strip():
                verb, address = line[:4].upper(), line.partition(":")[2].split(">")[0].strip("< ")
                if verb == "MAIL":
                    sender = address
                elif verb == "RCPT" and address in inbox.refused:
                    self.say("550 nobody here by that name")
                    continue
                elif verb == "RCPT":
                    recipients.append(address)
                elif verb == "DATA":
                    self.say("354 go on")
                    inbox.received.append(Letter(sender, recipients, message_from_bytes(self.data())))
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                self.say("250 ok")

        def data(self) -> bytes:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            return b"".join(lines)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        inbox.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield inbox
        finally:
            server.shutdown()
            thread.join()
