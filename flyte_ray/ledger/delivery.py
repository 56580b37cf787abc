"""Send what leaves the system: HTTP requests and mails, with the standard library.

An answer that would be the same the next time is a `Refused`; any other failure may be tried again.
"""

from __future__ import annotations

import os
import smtplib
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from email.utils import formatdate, make_msgid
from http.client import HTTPException
from typing import Any, Final

from flyte_ray.ledger.notices import Mail, Request

ANSWER_S: Final = 10.0
"""How long a server may take for an answer."""
SERVER_VAR, SENDER_VAR = "FLYTE_RAY_SMTP", "FLYTE_RAY_SMTP_FROM"
"""Variables with the mail server and the sender's address; see `spec/notification.py`."""
_LATER: Final = (408, 425, 429)
"""Answers by which a server asks to come again."""


class Refused(Exception):
    """The server does not take it, and would not the next time."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and arrive nowhere without a word."""

    def redirect_request(self, *_: Any) -> None:
        return None


def send(what: Request | Mail) -> None:
    """Send a request or a mail.

    Raises:
        Refused: Sending it again is of no use.
        OSError: Nobody answers in time, or the server has a failure.

    """
    try:
        _send_request(what) if isinstance(what, Request) else _send_mail(what)
    except (HTTPException, smtplib.SMTPException) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _send_request(request: Request) -> None:
    try:
        prepared = urllib.request.Request(
            request.url, request.body, {"User-Agent": "flyte-ray", **request.headers}, method=request.method
        )
        with urllib.request.build_opener(_NoRedirects).open(prepared, timeout=ANSWER_S):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500 and error.code not in _LATER:
            raise Refused(f"the server answered {error.code} {error.reason}") from error
        raise
    except ValueError as error:
        raise Refused(f"it is no valid request: {error}") from error


def _send_mail(mail: Mail) -> None:
    server = urllib.parse.urlsplit(os.environ.get(SERVER_VAR) or "smtp://localhost:25")
    if server.scheme not in ("smtp", "smtps") or not server.hostname:
        raise Refused(f"{SERVER_VAR} must be smtp://[user:password@]host[:port], or smtps://...")
    message = mail.message
    message["From"] = sender = os.environ.get(SENDER_VAR) or f"flyte-ray@{socket.getfqdn()}"
    message["Date"], message["Message-ID"] = formatdate(), make_msgid()
    try:
        with _connect(server) as connection:
            connection.send_message(message, sender, mail.to)
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:
            raise Refused(f"the mail server answered {error.smtp_code} {error.smtp_error!r}") from error
        raise
    except smtplib.SMTPRecipientsRefused as error:
        if all(code >= 500 for code, _ in error.recipients.values()):
            raise Refused(f"the mail server takes nothing for {', '.join(error.recipients)}") from error
        raise


def _connect(server: urllib.parse.SplitResult) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.username is None:  # nothing secret is sent: an unknown certificate is better than none
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host = server.hostname or ""
    if server.scheme == "smtps":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(host, server.port or 465, timeout=ANSWER_S, context=context)
    else:
        connection = smtplib.SMTP(host, server.port or 25, timeout=ANSWER_S)
    try:
        connection.ehlo()
        if server.scheme == "smtp" and connection.has_extn("starttls"):
            connection.starttls(context=context)
        if server.username is not None:
            connection.login(urllib.parse.unquote(server.username), urllib.parse.unquote(server.password or ""))
    except BaseException:
        connection.close()
        raise
    return connection
