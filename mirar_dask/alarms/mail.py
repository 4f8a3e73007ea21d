"""Sends news of a run by e-mail: one connection to one SMTP server, encrypted, within a time."""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from mirar_dask.alarms.message import compose
from mirar_dask.alarms.notice import Notice
from mirar_dask.alarms.settings import AlarmSettings, MailSettings

ANSWER_SECONDS = 20.0
"""How long the server may be silent."""
SEND_SECONDS = 60.0
"""How long all of it may take: a server that answers a letter a minute never is silent."""


def mail(settings: AlarmSettings, notice: Notice) -> str | None:
    """Send the e-mail that settings ask for.

    Returns
    -------
    str or None
        What went wrong, in a sentence; None if it is on its way, or nobody wants it.
    """
    by = settings.mail
    if by is None or (by.when == "trouble" and notice.well):
        return None
    message = compose(notice, sender=by.sender, to=by.to)
    troubles: list[str | None] = []
    # In a thread: nothing else bounds the time in which a name is looked up, or a server answers
    # a letter a second.
    sending = threading.Thread(
        target=lambda: troubles.append(_send(message, by, notice.title)), daemon=True
    )
    sending.start()
    sending.join(SEND_SECONDS)
    if troubles:
        return troubles[0]
    return f"{_not_sent(notice.title, by)}: it did not answer within {SEND_SECONDS:g} s"


def _not_sent(title: str, by: MailSettings) -> str:
    return f"the e-mail about {title} was not sent by {by.host}:{by.port}"


def _send(message: EmailMessage, by: MailSettings, title: str) -> str | None:
    """Send a message; return what went wrong."""
    where = _not_sent(title, by)
    try:
        with _connected(by) as server:
            refused = server.send_message(message, from_addr=by.sender, to_addrs=by.to)
    except smtplib.SMTPRecipientsRefused as error:
        return f"{where}: it refused {_refusals(error.recipients)}"
    except smtplib.SMTPAuthenticationError as error:
        return f"{where}: it refused user '{by.user}' ({_said(error)}); check user and password"
    except smtplib.SMTPSenderRefused as error:
        return f"{where}: it refused the sender {by.sender} ({_said(error)})"
    except smtplib.SMTPNotSupportedError as error:
        return f"{where}: {error}; choose another smtp_tls, or no user"
    except smtplib.SMTPResponseException as error:
        return f"{where}: it answered {error.smtp_code} {_said(error)}"
    except ssl.SSLCertVerificationError as error:
        return f"{where}: its certificate is not good ({error.verify_message}); see smtp_ca"
    except ssl.SSLError as error:
        return f"{where}: no encrypted connection ({error.reason}); check port and smtp_tls"
    except TimeoutError:
        return f"{where}: it did not answer within {ANSWER_SECONDS:g} s"
    except smtplib.SMTPServerDisconnected as error:
        if isinstance(error.__context__, TimeoutError):
            return f"{where}: it did not answer within {ANSWER_SECONDS:g} s"
        return f"{where}: it closed the connection; check port and smtp_tls"
    except (OSError, smtplib.SMTPException) as error:
        return f"{where}: {getattr(error, 'strerror', None) or error}"
    if refused:
        return f"the e-mail about {title} did not reach all: {_refusals(refused)}"
    return None


@contextmanager
def _connected(by: MailSettings) -> Iterator[smtplib.SMTP]:
    """Give a connection that is encrypted and logged in as the settings say."""
    context = ssl.create_default_context(cafile=by.ca)
    server: smtplib.SMTP
    if by.tls == "implicit":
        server = smtplib.SMTP_SSL(by.host, by.port, timeout=ANSWER_SECONDS, context=context)
    else:
        server = smtplib.SMTP(by.host, by.port, timeout=ANSWER_SECONDS)
    try:
        if by.tls == "starttls":
            server.starttls(context=context)
        if by.user:
            server.login(by.user, by.password)
        yield server
        _take_leave(server)
    finally:
        server.close()


def _take_leave(server: smtplib.SMTP) -> None:
    """Say good-bye; the server has the message, and how it takes this is of no interest."""
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        pass


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(
        f"{address} ({code} {_line(text)})" for address, (code, text) in refused.items()
    )


def _said(error: smtplib.SMTPResponseException) -> str:
    return _line(error.smtp_error)


def _line(text: bytes | str) -> str:
    """Put what a server said on one line that is safe to show."""
    said = text.decode(errors="replace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else "?" for c in " ".join(said.split()))[:200]
