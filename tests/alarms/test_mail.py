"""E-mail about a run reaches real servers, and what they do to it never harms the run."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.alarms import Notice, resolve_alarms, tell
from mirar_dask.alarms import mail as mail_module
from mirar_dask.monitoring.run_folder import LOG

# The server does not know that its connection is encrypted from the first byte.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

USER, PASSWORD = "observer", "M13 is a globular cluster"
PREFIX = "MIRAR_DASK_"


def settings(port: int, **said: Any) -> Any:
    values = {"email": "ana@example.org,ben@example.org", "email_from": "dome@example.org"}
    values |= {"smtp_host": "127.0.0.1", "smtp_port": str(port)} | said
    return resolve_alarms(environment={PREFIX + k.upper(): v for k, v in values.items()})


def test_the_mail_tells_how_the_night_went(mail_server, notice: Notice):
    """Subject, text, HTML and attachments tell of the failure; every address gets it."""
    with mail_server() as box:
        assert tell(settings(box.port), notice) == []
    (message,) = box.messages
    assert message["Subject"] == "[mirar-dask] imager n1: 1 failure"
    assert message["From"] == "dome@example.org"
    assert box.receivers == ["ana@example.org", "ben@example.org"]
    text = message.get_body(("plain",)).get_content()
    assert "frames      2 (1 succeeded, 1 failed)" in text
    assert "failed at flat: a.fits: it is dark" in text
    assert "failed at flat: a.fits: it is dark" in message.get_body(("html",)).get_content()
    attached = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert attached["n1_error_stack.txt"].startswith("Error report")
    assert attached["log.txt"].split() == ["it", "began"]


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_the_connection_is_encrypted_before_the_password_is_said(
    mail_server, authority: tuple[Path, Path], notice: Notice, tls: str
):
    """Both ways of TLS work, with a user's name and a password."""
    with mail_server(tls, login=True) as box:
        by = settings(
            box.port, smtp_tls=tls, smtp_ca=str(authority[0]),
            smtp_user=USER, smtp_password=PASSWORD,
        )  # fmt: skip
        assert tell(by, notice) == []
    assert box.encrypted == [True]
    assert PASSWORD not in repr(by)


def test_a_server_that_cannot_prove_who_it_is_gets_no_password(mail_server, notice: Notice):
    """A certificate that nobody knows ends the attempt, and the sentence says what to do."""
    with mail_server("implicit", login=True) as box:
        by = settings(box.port, smtp_tls="implicit", smtp_user=USER, smtp_password=PASSWORD)
        (trouble,) = tell(by, notice)
    assert "its certificate is not good" in trouble
    assert "smtp_ca" in trouble
    assert not box.messages


def test_a_wrong_password_is_one_sentence_without_the_password(
    mail_server, authority: tuple[Path, Path], notice: Notice
):
    """The server's refusal is told, and is in the run's log; the password is in neither."""
    with mail_server("starttls", login=True) as box:
        by = settings(
            box.port, smtp_tls="starttls", smtp_ca=str(authority[0]),
            smtp_user=USER, smtp_password="M31",
        )  # fmt: skip
        (trouble,) = tell(by, notice)
    assert "it refused user 'observer'" in trouble
    assert "M31" not in trouble
    assert notice.folder is not None
    log = (notice.folder / LOG).read_text()
    assert "it refused user 'observer'" in log
    assert "M31" not in log


def test_who_is_refused_is_named_and_the_others_get_it(mail_server, notice: Notice):
    """One address that the server does not know costs that address."""
    with mail_server(refuses=("ana@example.org",)) as box:
        (trouble,) = tell(settings(box.port), notice)
    assert "ana@example.org (550 5.1.1 no such user here)" in trouble
    assert box.receivers == ["ben@example.org"]


def test_a_server_that_refuses_everybody_is_one_sentence(mail_server, notice: Notice):
    """So is a message that nobody gets."""
    with mail_server(refuses=("ana@example.org", "ben@example.org")) as box:
        (trouble,) = tell(settings(box.port), notice)
    assert "was not sent" in trouble
    assert "ben@example.org (550" in trouble
    assert not box.messages


def test_a_server_that_is_not_there_is_one_sentence(notice: Notice):
    """A port at which nobody listens is named with the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        (trouble,) = tell(settings(port), notice)
    assert f"127.0.0.1:{port}" in trouble
    assert "Connection refused" in trouble


@pytest.mark.parametrize("silent", ["ANSWER_SECONDS", "SEND_SECONDS"])
def test_a_server_that_hangs_is_waited_for_no_longer_than_allowed(
    notice: Notice, monkeypatch: pytest.MonkeyPatch, silent: str
):
    """One that takes the connection and says nothing ends as a sentence."""
    monkeypatch.setattr(mail_module, silent, 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        (trouble,) = tell(settings(server.getsockname()[1]), notice)
    assert "did not answer within 0.3 s" in trouble


def test_names_and_reasons_cannot_break_out_of_the_mail(mail_server, notice: Notice):
    """What a header or a file name says is text: no tag, no line of the mail's header."""
    evil = "</td><script>alert(1)</script>\r\nBcc: eve@example.org"
    failures = [
        {"frames": [evil, "b\udce9.fits"], "status": "failed", "step": evil, "reason": evil}
    ]
    document: Mapping[str, Any] = {**notice.document, "night": evil, "failures": failures}
    with mail_server() as box:
        assert tell(settings(box.port), replace(notice, document=document, why=evil)) == []
    (message,) = box.messages
    assert box.receivers == ["ana@example.org", "ben@example.org"]
    assert "Bcc" not in message
    html = message.get_body(("html",)).get_content()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_long_log_is_attached_by_its_end_and_many_failures_are_counted(
    mail_server, notice: Notice
):
    """A mail stays small whatever the night was."""
    assert notice.folder is not None
    (notice.folder / LOG).write_text("first line\n" + "x" * 400_000 + "\nlast line\n")
    failures = [
        {"frames": [f"{n}.fits"], "status": "failed", "step": "flat", "reason": f"reason {n}"}
        for n in range(10_000)
    ]
    with mail_server() as box:
        tell(
            settings(box.port), replace(notice, document={**notice.document, "failures": failures})
        )
    (message,) = box.messages
    attached = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert len(attached["log.txt"]) < 201_000
    assert attached["log.txt"].rstrip().endswith("last line")
    assert "and 9980 more reasons" in message.get_body(("plain",)).get_content()


def test_who_wants_mail_of_trouble_only_gets_no_other(mail_server, notice: Notice):
    """`email_when = trouble` is silent about nights that went well."""
    with mail_server() as box:
        by = settings(box.port, email_when="trouble")
        assert tell(by, replace(notice, exit_code=0)) == []
        assert not box.messages
        assert tell(by, notice) == []
    assert len(box.messages) == 1
