"""Certificates: what proves to scheduler, workers and driver that they belong together.

TLS is the only authentication that Dask has: whoever reaches a scheduler's port without it can
run code as its user.
"""

from __future__ import annotations

import datetime
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mirar_dask.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from distributed.security import Security

NAMES = ("ca.pem", "cert.pem", "key.pem")
TLS = "tls"
"""Folder of those that are made for one cluster, in the run's folder."""
DAYS = 30
"""How long certificates that were made for one cluster are valid."""


def make_certificates(folder: Path) -> Path:
    """Make a key and the certificate that goes with it, readable by us only.

    One pair serves scheduler, workers and drivers: who holds it belongs to the cluster.

    Parameters
    ----------
    folder : Path
        Made if it is not there. All hosts of the cluster must see it.

    Raises
    ------
    ClusterError
        If the package cryptography is not installed, or the files cannot be written.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise ClusterError(
            "encrypted connections need cryptography; install it (pip install 'mirar-dask[tls]'), "
            "or say --no-tls where nobody else can reach these hosts"
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mirar-dask")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # From yesterday: a host whose clock is slow would refuse what begins now.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file, text in zip(NAMES, (shown, shown, secret), strict=True):
            handle = os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as written:
                written.write(text)
    except OSError as error:
        raise ClusterError(
            f"certificates cannot be written to {folder} ({error.strerror}); name a new folder"
        ) from error
    return folder


def check_certificates(folder: Path | str) -> Path:
    """Return the folder in full; make sure that its files can be read.

    Raises
    ------
    UsageError
        If one is missing or cannot be read.
    """
    found = Path(folder).expanduser().absolute()
    for name in NAMES:
        if not os.access(found / name, os.R_OK):
            raise UsageError(
                f"--certificates {folder}: {name} is not there or cannot be read; "
                f"'mirar-dask cluster certificates DIR' makes {', '.join(NAMES)}"
            )
    return found


def certificates_for(given: str | None, folder: Path, stack: ExitStack) -> Path:
    """Return the folder of certificates: the one that was given, or a new one for one cluster.

    Parameters
    ----------
    given : str, optional
        What ``--certificates`` names.
    folder : Path
        Folder of the run, below which new ones are made.
    stack : ExitStack
        Removes new ones when it is closed.
    """
    if given:
        return check_certificates(given)
    made = make_certificates(folder / TLS)
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    return made


def security_at(folder: Path | str) -> Security:
    """Return Dask's description of the certificates in a folder; no file is read."""
    from distributed.security import Security

    ca, certificate, key = (str(Path(folder) / name) for name in NAMES)
    pairs = {
        f"tls_{role}_{what}": path
        for role in ("client", "scheduler", "worker")
        for what, path in (("cert", certificate), ("key", key))
    }
    return Security(tls_ca_file=ca, require_encryption=True, **pairs)
