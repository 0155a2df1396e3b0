"""Kubeconfig files: what is read from them, and what is said of a bad one."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import msgspec
import pytest

from steersman.client import kubeconfig
from steersman.client.kubeconfig import BadKubeconfig
from steersman.listen import certificates
from steersman.wire import yaml


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.ensure(tmp_path_factory.mktemp("pki"), (), 1_800_000_000)


def file(path: Path, cluster: Any, user: Any, **more: Any) -> Path:
    document = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **more,
    }
    path.write_bytes(msgspec.json.encode(document))
    return path


def inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_what_is_written_can_be_read(tmp_path: Path, files: certificates.Certificates) -> None:
    text = kubeconfig.write(
        name='steer-"a"',
        server="https://127.0.0.1:6443",
        authority=files.ca.read_bytes(),
        certificate=files.certificate("admin").read_bytes(),
        key=files.key("admin").read_bytes(),
    )
    path = tmp_path / "config"
    path.write_text(text)
    assert yaml.load(text)["current-context"] == 'steer-"a"'
    target = kubeconfig.read(path)
    assert (target.host, target.port, target.token) == ("127.0.0.1", 6443, None)
    assert target.tls is not None
    assert target.tls.verify_mode == ssl.CERT_REQUIRED and target.tls.check_hostname
    assert len(target.tls.get_ca_certs()) == 1


def test_files_may_be_named_relative_to_the_config(
    tmp_path: Path, files: certificates.Certificates
) -> None:
    for source in (files.ca, files.certificate("admin"), files.key("admin")):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    cluster = {"server": "https://[::1]:6443/prefix/", "certificate-authority": "ca.crt"}
    user = {"client-certificate": "admin.crt", "client-key": "admin.key"}
    target = kubeconfig.read(file(tmp_path / "config", cluster, user))
    assert (target.host, target.prefix, str(target)) == ("::1", "/prefix", "https://::1:6443")


def test_another_context_can_be_chosen(tmp_path: Path) -> None:
    path = file(tmp_path / "config", {"server": "http://a"}, {})
    document = yaml.load(path.read_text())
    document["clusters"].append({"name": "d", "cluster": {"server": "http://b:81"}})
    document["contexts"].append({"name": "y", "context": {"cluster": "d"}})
    path.write_bytes(msgspec.json.encode(document))
    assert (kubeconfig.read(path).host, kubeconfig.read(path).port) == ("a", 80)
    assert (kubeconfig.read(path, "y").host, kubeconfig.read(path, "y").port) == ("b", 81)


def test_a_token_may_be_inline_or_in_a_file_that_changes(tmp_path: Path) -> None:
    cluster = {"server": "https://a", "insecure-skip-tls-verify": True, "tls-server-name": "b"}
    target = kubeconfig.read(file(tmp_path / "config", cluster, {"token": "secret"}))
    assert target.token is not None and target.token() == "secret"
    assert target.tls is not None and target.tls.verify_mode == ssl.CERT_NONE
    assert (target.port, target.server_name) == (443, "b")
    (tmp_path / "token").write_text("first\n")
    target = kubeconfig.read(file(tmp_path / "config", cluster, {"tokenFile": "token"}))
    assert target.token is not None and target.token() == "first"
    (tmp_path / "token").write_text("second\n")
    assert target.token() == "second"


@pytest.mark.parametrize(
    ("cluster", "user", "more", "message"),
    [
        ({"server": "https://a"}, {}, {"current-context": ""}, "names no current-context"),
        ({"server": "https://a"}, {}, {"current-context": "z"}, "has no context 'z'"),
        ({"server": "https://a"}, {}, {"clusters": []}, "has no cluster 'c'"),
        ({"server": "https://a"}, {}, {"users": []}, "has no user 'u'"),
        ({}, {}, {}, "cluster 'c' has no server address"),
        ({"server": "nonsense"}, {}, {}, "has no server address"),
        ({"server": "https://a", "certificate-authority-data": "?"}, {}, {}, "is not base64"),
        ({"server": "https://a", "certificate-authority-data": "eA=="}, {}, {}, "no certificate"),
        ({"server": "https://a", "certificate-authority": "none"}, {}, {}, "No such file"),
        ({"server": "https://a"}, {"client-certificate-data": "eA=="}, {}, "no client-key"),
        ({"server": "https://a"}, {"client-key-data": "eA=="}, {}, "no client-certificate"),
        (
            {"server": "https://a"},
            {"client-certificate-data": "U0VDUkVU", "client-key-data": "U0VDUkVU"},
            {},
            "do not fit",
        ),
    ],
)
def test_a_bad_file_is_told_by_name_and_reason(
    tmp_path: Path, cluster: Any, user: Any, more: Any, message: str
) -> None:
    path = file(tmp_path / "config", cluster, user, **more)
    with pytest.raises(BadKubeconfig, match=message) as refused:
        kubeconfig.read(path)
    assert str(path) in str(refused.value)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(("text", "message"), [("a: [", "is not YAML"), ("- a", "holds no map")])
def test_what_is_no_kubeconfig_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(BadKubeconfig, match=message):
        kubeconfig.read(tmp_path / "config")
    with pytest.raises(BadKubeconfig, match="cannot be read: No such file"):
        kubeconfig.read(tmp_path / "none")


def test_no_key_is_left_in_a_temporary_file(
    tmp_path: Path, files: certificates.Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    user = {
        "client-certificate-data": inline(files.certificate("admin")),
        "client-key-data": inline(files.key("admin")),
    }
    kubeconfig.read(file(tmp_path / "config", {"server": "https://a"}, user))
    assert list(scratch.iterdir()) == []
