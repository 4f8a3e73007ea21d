"""Who is told of the end of a run, and how: flags, else environment, else a table ``[alarms]``.

Everything is checked before the work begins: an alarm that cannot be given is found out then, not
in the morning. The password of the mail server comes from environment or a file only.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirar_dask.errors import UsageError

PREFIX = "MIRAR_DASK_"
"""Begins the environment variable of each key: ``MIRAR_DASK_ON_END`` and so on."""
PASSWORD_VARIABLE = f"{PREFIX}SMTP_PASSWORD"
KEYS = (
    *("on_end", "on_end_seconds", "email", "email_from", "email_when"),
    *("smtp_host", "smtp_port", "smtp_tls", "smtp_user", "smtp_password_file", "smtp_ca"),
)
"""Keys of a table ``[alarms]``, and in capitals, behind the prefix, environment variables."""
HOOK_SECONDS = 60.0
"""How long the command may take where nobody said."""
PORTS = {"implicit": 465, "starttls": 587, "none": 25}
"""Ways to talk to a mail server, with the port of each."""
WHEN = ("always", "trouble")
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_ADDRESS = re.compile(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+")


@dataclass(frozen=True, kw_only=True)
class MailSettings:
    """How e-mail is sent, and to whom."""

    to: tuple[str, ...]
    sender: str
    host: str = "localhost"
    port: int = 25
    tls: str = "none"
    """``implicit`` (encrypted from the first byte), ``starttls``, or ``none``."""
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    """File with the certificate of the authority that the server's is signed by, if it is none
    that this machine knows."""
    when: str = "always"
    """``always``, or ``trouble``: only of runs that did not end well."""


@dataclass(frozen=True, kw_only=True)
class AlarmSettings:
    """Who is told of the end of a run."""

    on_end: tuple[str, ...] = ()
    """Words of a command; none if no command is called."""
    on_end_seconds: float = HOOK_SECONDS
    """How long it may take."""
    mail: MailSettings | None = None

    @property
    def any(self) -> bool:
        """Whether anybody is told at all."""
        return bool(self.on_end) or self.mail is not None


def resolve_alarms(
    *,
    on_end: str | None = None,
    email: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
    files: Iterable[Path | None] = (),
) -> AlarmSettings:
    """Decide who is told, from everything that says something about it.

    Parameters
    ----------
    on_end : str, optional
        What ``--on-end`` was given; empty for no command whatever else says.
    email : iterable of str
        What ``--email`` was given; one that is empty for no e-mail.
    environment : mapping
        Environment variables.
    files : iterable of Path
        TOML files that may have a table ``[alarms]``; the first that has a key decides on it.

    Raises
    ------
    UsageError
        If something that was said makes no sense, or names what is not there.
    """
    said: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for path in files:
        for key, value in _table(path).items() if path is not None else ():
            if key not in said:
                said[key], origin[key] = value, f"{path}: [alarms] {key}"
    for key in KEYS:
        text = environment.get(PREFIX + key.upper())
        if text is not None:
            said[key], origin[key] = text, PREFIX + key.upper()
    if on_end is not None:
        said["on_end"], origin["on_end"] = on_end, "--on-end"
    if email := tuple(email):
        said["email"], origin["email"] = email, "--email"
    seconds = _number(said, origin, "on_end_seconds", HOOK_SECONDS)
    if seconds <= 0:
        raise UsageError(f"{origin['on_end_seconds']} is {seconds:g}; it must be above 0")
    return AlarmSettings(
        on_end=_command(said.get("on_end", ""), origin.get("on_end", "")),
        on_end_seconds=seconds,
        mail=_mail(said, origin, environment),
    )


def absolute_command(text: str) -> str:
    """Name the program of a command by its whole path where it is named by a path.

    Examples
    --------
    >>> absolute_command("mail-night --to 'ana b'")
    "mail-night --to 'ana b'"
    """
    try:
        words = shlex.split(text)
    except ValueError:
        return text  # `resolve_alarms` says what is wrong with it
    if not words or "/" not in words[0]:
        return text
    return shlex.join([str(Path(words[0]).expanduser().absolute()), *words[1:]])


def _table(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # who reads the rest of the file says what is wrong with it
    table = content.get("alarms", {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: alarms must be a table; begin it with a line [alarms]")
    values = {name.replace("-", "_"): value for name, value in table.items()}
    for name in values:
        if name == "smtp_password":
            raise UsageError(
                f"{path}: a password has no place in [alarms]; set {PASSWORD_VARIABLE}, or name "
                "a file that only you can read with smtp_password_file"
            )
        if name not in KEYS:
            raise UsageError(f"{path}: [alarms] has no '{name}'; there are {', '.join(KEYS)}")
    return values


def _command(said: Any, origin: str) -> tuple[str, ...]:
    """Return the words of a command, its program found; no shell ever reads them."""
    if isinstance(said, str):
        try:
            words = shlex.split(said)
        except ValueError as error:
            raise UsageError(f"{origin} {said!r}: {error}; quote its words as in a shell") from None
    elif isinstance(said, list) and all(isinstance(word, str) for word in said):
        words = list(said)
    else:
        raise UsageError(f"{origin} is {said!r}; it must be a command, or a list of its words")
    if not words:
        return ()
    found = shutil.which(str(Path(words[0]).expanduser()))
    if found is None:
        raise UsageError(
            f"{origin}: there is no program '{words[0]}' that can be started here; name it by its "
            "whole path, and make it executable"
        )
    return (str(Path(found).absolute()), *words[1:])


def _mail(
    said: Mapping[str, Any], origin: Mapping[str, str], environment: Mapping[str, str]
) -> MailSettings | None:
    to = _addresses(said.get("email", ()), origin.get("email", ""))
    if not to:
        return None
    host = _text(said, origin, "smtp_host", "localhost")
    port = _number(said, origin, "smtp_port", 0)
    near = host in LOOPBACK
    by_port = {number: way for way, number in PORTS.items()} if not near else {465: "implicit"}
    default = by_port.get(int(port), "none" if near else "starttls")
    # A server elsewhere is asked for encryption, whatever its port, unless somebody says "none".
    default = "starttls" if default == "none" and not near else default
    tls = _choice(said, origin, "smtp_tls", default, tuple(PORTS))
    user = _text(said, origin, "smtp_user", "")
    password = _password(said, origin, environment)
    if user and not password:
        raise UsageError(
            f"{origin['smtp_user']} names a user of the mail server without a password; set "
            f"{PASSWORD_VARIABLE}, or name a file that holds it with {PREFIX}SMTP_PASSWORD_FILE"
        )
    if user and tls == "none" and not near:
        raise UsageError(
            f"the password for {host} would travel unencrypted; set smtp_tls to implicit or "
            "starttls"
        )
    ca = _text(said, origin, "smtp_ca", "")
    if ca and not Path(ca).expanduser().is_file():
        raise UsageError(f"{origin['smtp_ca']}: there is no file {ca}")
    default_sender = user if _ADDRESS.fullmatch(user) else f"mirar-dask@{socket.getfqdn()}"
    sender = _addresses(said.get("email_from", default_sender), origin.get("email_from", ""))
    if len(sender) != 1:
        raise UsageError(f"{origin['email_from']}: expected one address")
    return MailSettings(
        to=to,
        sender=sender[0],
        host=host,
        port=int(port) or PORTS[tls],
        tls=tls,
        user=user,
        password=password,
        ca=Path(ca).expanduser() if ca else None,
        when=_choice(said, origin, "email_when", "always", WHEN),
    )


def _addresses(said: Any, origin: str) -> tuple[str, ...]:
    texts = said if isinstance(said, list | tuple) else [said]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"{origin} is {said!r}; it must be an address, or a list of addresses")
    found = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    for address in found:
        if not _ADDRESS.fullmatch(address):
            raise UsageError(f"{origin}: {address!r} is no address; expected name@host")
    return tuple(dict.fromkeys(found))


def _password(
    said: Mapping[str, Any], origin: Mapping[str, str], environment: Mapping[str, str]
) -> str:
    if PASSWORD_VARIABLE in environment:
        return environment[PASSWORD_VARIABLE]
    name = _text(said, origin, "smtp_password_file", "")
    if not name:
        return ""
    path = Path(name).expanduser()
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"{path} can be read by others; make it yours alone: chmod 600 {path}")
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise UsageError(
            f"{origin['smtp_password_file']}: {path} cannot be read ({error.strerror})"
        ) from error


def _text(said: Mapping[str, Any], origin: Mapping[str, str], key: str, default: str) -> str:
    value = said.get(key, default)
    if not isinstance(value, str):
        raise UsageError(f"{origin[key]} is {value!r}; it must be a text")
    return value.strip() or default


def _choice(
    said: Mapping[str, Any], origin: Mapping[str, str], key: str, default: str, known: Iterable[str]
) -> str:
    value = _text(said, origin, key, default).lower()
    if value not in known:
        raise UsageError(f"{origin[key]} is {value!r}; it must be one of {', '.join(known)}")
    return value


def _number(said: Mapping[str, Any], origin: Mapping[str, str], key: str, default: float) -> float:
    value = said.get(key, default)
    try:
        return float(value if value != "" else default)
    except (TypeError, ValueError):
        raise UsageError(f"{origin[key]} is {value!r}; it must be a number") from None
