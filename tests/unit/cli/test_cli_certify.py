"""The administrator's kubeconfig: whose it is, what it names, and what it does not follow."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from steersman.cli.certify import certify, node_name, render_kubeconfig, write_kubeconfig
from steersman.cli.directory import Directory, Identity
from steersman.listen.certificates import ADMIN, KUBELET_CLIENT, PROXY, SERVER, Certificates

IDENTITY = Identity("bcdfgh", 7443, "sqlite", "10.96.0.0/16", "10.64.0.0/16")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of a cluster."""
    directory = Directory(tmp_path_factory.mktemp("certify") / "d")
    directory.create(IDENTITY)
    return certify(directory, IDENTITY)


def test_a_cluster_has_certificates_of_its_server_administrator_proxy_and_node(
    files: Certificates,
) -> None:
    node = f"node-{node_name()}"
    for name in (SERVER, ADMIN.file, KUBELET_CLIENT.file, PROXY.file, node):
        ssl.create_default_context().load_cert_chain(files.certificate(name), files.key(name))


def test_the_server_answers_at_its_names_and_the_first_address_of_each_range(
    files: Certificates,
) -> None:
    decode = ssl._ssl._test_decode_cert  # type: ignore[attr-defined]
    names = {name for _, name in decode(str(files.certificate(SERVER)))["subjectAltName"]}
    assert {node_name(), "10.96.0.1", "10.64.0.1"} <= names


def test_a_kubeconfig_is_its_owners_alone_also_where_another_was(
    files: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "steer.config"
    write_kubeconfig(files, IDENTITY, path)
    assert path.read_text() == render_kubeconfig(files, IDENTITY)
    assert 'server: "https://127.0.0.1:7443"' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.write_text("old")
    path.chmod(0o644)
    write_kubeconfig(files, IDENTITY, path)
    assert path.read_text() == render_kubeconfig(files, IDENTITY)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["steer.config"]


def test_a_link_that_somebody_laid_in_the_way_of_a_kubeconfig_is_not_followed(
    files: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steersman.cli import certify as module

    monkeypatch.setattr(module.os, "getpid", lambda: 1)
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "c.1.partial").symlink_to(tmp_path / "victim")
    write_kubeconfig(files, IDENTITY, tmp_path / "c")
    assert (tmp_path / "victim").read_text() == "kept"
    assert (tmp_path / "c").read_text() == render_kubeconfig(files, IDENTITY)
