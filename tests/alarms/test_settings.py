"""What is said of alarms is found, checked before the work, and keeps its secrets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mirar_dask.alarms import resolve_alarms
from mirar_dask.errors import UsageError


def env(**said: str) -> dict[str, str]:
    return {f"MIRAR_DASK_{name.upper()}": value for name, value in said.items()}


def test_flags_win_over_the_environment_and_that_over_files(tmp_path: Path):
    """The nearest that says something is heard, for each key by itself."""
    site, camera = tmp_path / "site.toml", tmp_path / "camera.toml"
    site.write_text('[alarms]\nemail = "site@x.org"\nsmtp_host = "mail.x.org"\n')
    camera.write_text('[alarms]\nsmtp_host = "other"\nsmtp_user = "u"\nemail_from = "cam@x.org"\n')
    said = env(email="env@x.org", smtp_password="p")
    found = resolve_alarms(environment=said, files=(site, None, camera))
    assert found.mail is not None
    assert (found.mail.to, found.mail.host) == (("env@x.org",), "mail.x.org")
    assert (found.mail.user, found.mail.sender) == ("u", "cam@x.org")
    flagged = resolve_alarms(email=["a@x.org", "b@x.org"], environment=said, files=(site, camera))
    assert flagged.mail is not None
    assert flagged.mail.to == ("a@x.org", "b@x.org")


def test_an_empty_flag_switches_an_alarm_off():
    """What environment or file ask for can be declined for one run."""
    said = env(on_end=sys.executable, email="a@x.org")
    assert resolve_alarms(environment=said).any
    assert not resolve_alarms(on_end="", email=[""], environment=said).any


@pytest.mark.parametrize(
    ("said", "port", "tls"),
    [
        ({}, 25, "none"),
        ({"smtp_host": "mail.x.org"}, 587, "starttls"),
        ({"smtp_host": "mail.x.org", "smtp_port": "465"}, 465, "implicit"),
        ({"smtp_host": "mail.x.org", "smtp_port": "2525"}, 2525, "starttls"),
        ({"smtp_host": "mail.x.org", "smtp_port": "25"}, 25, "starttls"),
        ({"smtp_host": "mail.x.org", "smtp_tls": "none"}, 25, "none"),
        ({"smtp_tls": "implicit"}, 465, "implicit"),
    ],
)
def test_mail_to_another_host_is_encrypted_unless_somebody_says_none(
    said: dict[str, str], port: int, tls: str
):
    """Port and way of TLS are chosen together where one of them was not said."""
    mail = resolve_alarms(environment=env(email="a@x.org", **said)).mail
    assert mail is not None
    assert (mail.port, mail.tls) == (port, tls)


def test_a_command_is_words_and_no_shell_reads_them(tmp_path: Path):
    """Quotes hold words together; what a shell would obey is a character like others."""
    found = resolve_alarms(on_end=f"{sys.executable} -c 'print(1); $(x)' ; rm", environment={})
    assert found.on_end == (sys.executable, "-c", "print(1); $(x)", ";", "rm")
    file = tmp_path / "camera.toml"
    file.write_text(f'[alarms]\non_end = ["{sys.executable}", "a b"]\n')
    assert resolve_alarms(environment={}, files=[file]).on_end == (sys.executable, "a b")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"on_end": "no-such-program"}, "MIRAR_DASK_ON_END: there is no program 'no-such-program'"),
        ({"on_end": "'a"}, 'MIRAR_DASK_ON_END "\'a": No closing quotation'),
        ({"on_end_seconds": "soon"}, "MIRAR_DASK_ON_END_SECONDS is 'soon'; it must be a number"),
        ({"on_end_seconds": "-1"}, "must be above 0"),
        ({"email": "ana"}, "MIRAR_DASK_EMAIL: 'ana' is no address"),
        ({"email": "a@b\r\nBcc: c@d"}, "is no address"),
        ({"email": "a@x", "smtp_tls": "ssl"}, "must be one of implicit, starttls, none"),
        ({"email": "a@x", "smtp_user": "u"}, "without a password; set MIRAR_DASK_SMTP_PASSWORD"),
        ({"email": "a@x", "smtp_ca": "/no"}, "MIRAR_DASK_SMTP_CA: there is no file /no"),
        ({"email": "a@x", "smtp_password_file": "/no"}, "/no cannot be read"),
        (
            {"email": "a@x", "smtp_user": "u", "smtp_password": "p", "smtp_host": "far"}
            | {"smtp_tls": "none"},
            "the password for far would travel unencrypted",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(said: dict[str, str], sentence: str):
    """The sentence names where it was said, and what can be said."""
    with pytest.raises(UsageError) as refused:
        resolve_alarms(environment=env(**said))
    assert sentence in str(refused.value)


def test_a_password_has_no_place_in_a_file_that_others_may_read(tmp_path: Path):
    """Neither in the TOML file, nor in a password file with lax permissions."""
    file = tmp_path / "camera.toml"
    file.write_text('[alarms]\nsmtp_password = "M31"\n')
    with pytest.raises(UsageError, match="has no place"):
        resolve_alarms(environment={}, files=[file])
    secret = tmp_path / "secret"
    secret.write_text("M31\n")
    secret.chmod(0o644)
    said = env(email="a@x.org", smtp_user="u", smtp_password_file=str(secret))
    with pytest.raises(UsageError, match="chmod 600"):
        resolve_alarms(environment=said)
    secret.chmod(0o600)
    mail = resolve_alarms(environment=said).mail
    assert mail is not None
    assert mail.password == "M31"


def test_an_unknown_key_of_the_table_is_an_error_with_the_known_ones(tmp_path: Path):
    """A typing mistake does not leave the night without its alarm."""
    file = tmp_path / "camera.toml"
    file.write_text('[alarms]\nemial = "a@x.org"\n')
    with pytest.raises(UsageError, match=r"has no 'emial'; there are on_end, .*email"):
        resolve_alarms(environment={}, files=[file])
