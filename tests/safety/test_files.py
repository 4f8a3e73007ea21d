"""Who can read what a run writes, and what of it holds a secret: nobody, and nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirar_dask.redaction import redacted, without_secrets
from mirar_dask.testing import simulate_night

CANARY = "canary-7f3a9c"
PIPELINE = '''
import logging, os
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_saver import ImageSaver

logger = logging.getLogger("mirar_dask.mine")


class Careless(BaseImageProcessor):
    """Says more than it should."""

    base_key = "careless"

    def apply_to_image(self, image):
        secret = os.environ["OBSERVATORY_TOKEN"]
        logger.warning("connecting to ftp://observer:%s@archive with %s", secret, secret)
        if image["OBSCLASS"] == "flat":
            raise ValueError(f"refused: password={secret}")
        return image


class CarelessPipeline(Pipeline):
    """Has it."""

    name = "careless"
    all_pipeline_configurations = {"default": [ImageLoader(), Careless(), ImageSaver("saved")]}
'''


def run(
    *words: object, cwd: Path, mask: int = 0o022, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mirar_dask", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        umask=mask,
        env={**os.environ, **more},
        timeout=200,
    )


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the raw folder of a small night."""
    folder = tmp_path_factory.mktemp("raw") / "n1"
    simulate_night(folder, size=64, n_bias=1, n_dark=0, n_flat=2, n_science=2, filters=("r",))
    return folder


def holds(folder: Path, text: str) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and text.encode() in path.read_bytes():
            yield path


def test_no_secret_reaches_what_a_run_writes(raw: Path, tmp_path: Path) -> None:
    """Logs, journal, reports, requests, error stacks; nor what is printed, however much it is."""
    (tmp_path / "mine.py").write_text(PIPELINE)
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o700)
    words = (
        "run",
        f"{tmp_path / 'mine.py'}:CarelessPipeline",
        "--raw",
        raw,
        "--out",
        tmp_path / "out",
    )
    words += ("--cluster", "local", "--workers", "1", "-vv", "--json", tmp_path / "out/s.json")  # type: ignore[assignment]
    words += ("--on-end", f"{hook} https://me:{CANARY}@host")  # type: ignore[assignment]
    (tmp_path / "out").mkdir()
    secrets = {
        "OBSERVATORY_TOKEN": CANARY,
        "MIRAR_DASK_SMTP_PASSWORD": CANARY,
        "AWS_SECRET_KEY": CANARY,
    }
    done = run(*words, cwd=tmp_path, **secrets)
    assert done.returncode == 1, done.stderr
    (folder,) = (tmp_path / "out/careless/n1/runs").iterdir()
    assert "ftp://***@archive with ***" in (folder / "journal.jsonl").read_text()
    assert list(holds(tmp_path / "out", CANARY)) == []
    assert CANARY not in done.stdout + done.stderr
    for verb in (("report", "--tracebacks"), ("report", "--json"), ("status",)):
        shown = run(*verb, "--out", tmp_path / "out", cwd=tmp_path, **secrets)
        assert CANARY not in shown.stdout + shown.stderr
    assert list(holds(tmp_path / "out", CANARY)) == []
    assert json.loads((folder / "request.json").read_text())["on_end"] is None


def test_a_secret_has_no_place_in_a_script_of_a_job(raw: Path, tmp_path: Path) -> None:
    """The sentence says where to put it; variables of secrets are not handed on in it either."""
    words = ("submit", "imager", "--raw", raw, "--out", tmp_path / "out", "--dry-run")
    for option in (f"api_token={CANARY}", f"env=ftp://me:{CANARY}@host"):
        done = run(*words, "--cluster-option", option, cwd=tmp_path)
        assert done.returncode == 2
        assert CANARY not in done.stdout + done.stderr
    done = run(*words, cwd=tmp_path, MIRAR_DASK_SMTP_PASSWORD=CANARY, OBSERVATORY_TOKEN=CANARY)
    assert done.returncode == 0, done.stderr
    assert "#!/" in done.stdout
    assert CANARY not in done.stdout


def test_keys_are_private_and_go_with_the_run(raw: Path, tmp_path: Path) -> None:
    """Products are as the umask says, whatever is private besides."""
    for mask, mode in ((0o077, 0o600), (0o002, 0o664)):
        out = tmp_path / f"{mask}"
        words = (
            "run",
            "imager",
            "--raw",
            raw,
            "--out",
            out,
            "--cluster",
            "serial",
            "-c",
            "reduce",
        )
        assert run(*words, cwd=tmp_path, mask=mask).returncode in (0, 1)
        products = list(out.rglob("*.fits"))
        assert products
        assert {stat.S_IMODE(path.stat().st_mode) for path in products} == {mode}
        (folder,) = (out / "imager/n1/runs").iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {p.name for p in folder.iterdir()}.isdisjoint({"cache", "tls"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_cache_that_another_user_made_before_is_refused(
    raw: Path, tmp_path: Path, kind: str
) -> None:
    """He could read the pixels, or exchange them, or have them written elsewhere."""
    shared, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    for folder in (shared, elsewhere):
        folder.mkdir()
        folder.chmod(0o1777)
    attacker = os.fork()
    if attacker == 0:
        os.chdir(shared)
        os.setuid(12345)
        os.umask(0)
        os.mkdir("r1") if kind == "folder" else os.symlink(elsewhere, "r1")
        os._exit(0)
    assert os.waitpid(attacker, 0)[1] == 0
    words = ("run", "imager", "--raw", raw, "--out", tmp_path / "out", "--cluster", "threads")
    done = run(*words, "--cache", shared, "--run-id", "r1", cwd=tmp_path)
    assert done.returncode != 0
    assert f"{shared / 'r1'} is there already and" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(elsewhere.iterdir()) == []
    assert not list((tmp_path / "out").rglob("*.fits"))


def test_secrets_are_told_by_name_place_and_value() -> None:
    """What is no secret stays."""
    environment = {
        "MY_PASSWORD": "hunter2222",
        "SSH_ASKPASS": "/usr/bin/askpass",
        "HOME": "/home/me",
    }
    text = "hunter2222 /usr/bin/askpass /home/me tcp://10.0.0.1:8786 https://u:p@h/x?y=1 passes"
    shown = "*** /usr/bin/askpass /home/me tcp://10.0.0.1:8786 https://***@h/x?y=1 passes"
    assert redacted(text, environment) == shown
    assert redacted("smtp_password: 'abcdefgh', port: 25", {}) == "smtp_password: '***', port: 25"
    kept = {"walltime": "1h", "options": {"queue": "long", "nested": [{"a": 1}]}}
    told = {
        **kept,
        "api_key": "x",
        "options": {**kept["options"], "token": "y", "nested": [{"a": 1, "secret": 2}]},
    }  # type: ignore[dict-item]
    assert without_secrets(told) == kept
