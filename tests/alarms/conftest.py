"""Real mail servers on this machine, and notices to send."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from mirar_dask.alarms import Notice
from mirar_dask.monitoring.report import FORMAT

USER, PASSWORD = "observer", "M13 is a globular cluster"


@dataclass
class MailBox:
    """What a server took, and where it is."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refuses: tuple[str, ...] = ()
    """Addresses that it does not know."""

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any, address: str, *_: Any
    ) -> str:
        if address in self.refuses:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.receivers += envelope.rcpt_tos
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"


class _Encrypted(Controller):
    """Encrypts from the first byte, or on demand."""

    def __init__(self, *arguments: Any, implicit: bool = False, **options: Any) -> None:
        if implicit:
            options["ssl_context"] = options.pop("tls_context")
        super().__init__(*arguments, **options)

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # the system has chosen it
        super()._trigger_server()


class StartServer(Protocol):
    """Starts a mail server."""

    def __call__(
        self, tls: str = "none", *, login: bool = False, refuses: tuple[str, ...] = ()
    ) -> AbstractContextManager[MailBox]: ...


def _known(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    assert isinstance(data, LoginPassword)
    good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return certificate and key of a server on this machine, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    shown, secret = folder / "cert.pem", folder / "key.pem"
    shown.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    secret.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return shown, secret


@pytest.fixture
def mail_server(authority: tuple[Path, Path]) -> StartServer:
    """Return a function that starts a mail server: plain, or encrypted in one of the two ways."""

    @contextmanager
    def start(
        tls: str = "none", *, login: bool = False, refuses: tuple[str, ...] = ()
    ) -> Iterator[MailBox]:
        box = MailBox(refuses=refuses)
        options: dict[str, Any] = {}
        if tls != "none":
            options["tls_context"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            options["tls_context"].load_cert_chain(*authority)
            options["require_starttls"] = tls == "starttls"
        if login:
            options |= {"authenticator": _known, "auth_required": True}
            options["auth_require_tls"] = tls == "starttls"
        server = _Encrypted(
            box, hostname="127.0.0.1", port=0, implicit=tls == "implicit", **options
        )
        server.start()
        try:
            box.port = server.port
            yield box
        finally:
            server.stop()

    return start


@pytest.fixture
def notice(tmp_path: Path) -> Notice:
    """Return the notice of a run with one failure, whose folder holds a log."""
    folder = tmp_path / "out" / "imager" / "n1" / "runs" / "r1"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("it began\n")
    (folder / "summary.json").write_text("{}")
    (folder.parents[1] / "n1_error_stack.txt").write_text("Error report summarising 1 errors.\n")
    failure = {"frames": ["a.fits"], "status": "failed", "step": "flat", "reason": "it is dark"}
    document = {
        "format": FORMAT,
        "run_id": "r1",
        "pipeline": "imager",
        "night": "n1",
        "started": "2026-03-14T20:00:00.000+00:00",
        "seconds": 9.25,
        "folders": {"output": str(folder.parents[1]), "run": str(folder)},
        "counts": {"frames": 2, "succeeded": 1, "set aside": 0, "failed": 1},
        "products": ["b.fits"],
        "failures": [failure],
        "caveats": [],
    }
    return Notice(state="ended", exit_code=1, document=document, path=folder / "summary.json")
