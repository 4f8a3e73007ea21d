"""Encrypted connections: who has the certificate is let in, who has not is told so."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.cluster.certificates import NAMES, make_certificates, security_at
from mirar_dask.cluster.reach import knock
from mirar_dask.engine import Engine
from mirar_dask.errors import ClusterError, UsageError

pytest.importorskip("cryptography", reason="cryptography is not installed")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of certificates."""
    return make_certificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def encrypted(certificates: Path) -> Iterator[Engine]:
    """Give an engine on one worker, all of whose connections are encrypted."""
    spec = ClusterSpec.parse("local", workers=1, tls=True, certificates=str(certificates))
    with connect(spec, dashboard=False) as engine:
        yield engine


@pytest.fixture
def address(encrypted) -> str:
    """Return the address of its scheduler."""
    return encrypted.client.scheduler.address


def test_every_connection_is_encrypted(encrypted, address: str) -> None:
    """To the scheduler and to its workers."""
    assert address.startswith("tls://127.0.0.1:")
    workers = encrypted.client.scheduler_info()["workers"]
    assert workers
    assert all(worker.startswith("tls://") for worker in workers)


def test_who_has_the_certificates_is_let_in(address: str, certificates: Path) -> None:
    """By the same option."""
    with connect(ClusterSpec.parse(address, certificates=str(certificates))) as engine:
        assert engine.client.submit(sum, [1, 2]).result() == 3


def test_who_has_none_is_refused_with_the_remedy(address: str) -> None:
    """Within seconds."""
    with (
        pytest.raises(ClusterError, match=r"wants a certificate; .* --certificates DIR"),
        connect(ClusterSpec.parse(address)),
    ):
        pass


def test_who_has_others_is_refused_with_the_remedy(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that anybody can make is none."""
    monkeypatch.setattr("mirar_dask.cluster.reach.CONNECT_SECONDS", 2)
    other = make_certificates(tmp_path / "other")
    with (
        pytest.raises(ClusterError, match="refuses the certificates in"),
        connect(ClusterSpec.parse(address, certificates=str(other))),
    ):
        pass


def test_plain_connections_are_refused(address: str) -> None:
    """Who speaks no TLS learns nothing, and runs nothing."""
    with pytest.raises(OSError, match=r"reset|closed|Timed out"):
        knock(address.replace("tls://", "tcp://"), None)


def test_certificates_made_for_a_run_go_with_it(tmp_path: Path) -> None:
    """They lie in the run's folder, readable by us only."""
    with connect(ClusterSpec.parse("threads"), dashboard=False, folder=tmp_path):
        assert not list(tmp_path.iterdir())
    with connect(ClusterSpec.parse("local", workers=1, tls=True), dashboard=False, folder=tmp_path):
        made = list((tmp_path / "tls").iterdir())
        assert {path.name for path in made} == set(NAMES)
        assert all(path.stat().st_mode & 0o077 == 0 for path in made)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_certificates_is_named(certificates: Path, tmp_path: Path) -> None:
    """With the file that is missing, and how they are made."""
    folder = tmp_path / "half"
    shutil.copytree(certificates, folder)
    (folder / "key.pem").unlink()
    spec = ClusterSpec.parse("tls://127.0.0.1:1", certificates=str(folder))
    with (
        pytest.raises(UsageError, match=r"key\.pem is not there .*cluster certificates DIR"),
        connect(spec),
    ):
        pass


def test_all_roles_use_the_same_certificate(certificates: Path) -> None:
    """Dask is told so for each."""
    security = security_at(certificates)
    for role in ("client", "worker", "scheduler"):
        found = security.get_tls_config_for_role(role)
        assert found["cert"] == str(certificates / "cert.pem")
    assert security.require_encryption
