"""The cluster's certificates: what is in them, and when they are made anew."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steersman.listen import certificates
from steersman.listen.certificates import (
    ADMIN,
    KUBELET_CLIENT,
    BadCertificate,
    Certificates,
    Identity,
    ensure,
    node,
    renewal_due,
    write_private,
)

NOW = 1_800_000_000.0
DAY = 86_400.0


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def alternatives(path: Path) -> set[str]:
    extension = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def purposes(path: Path) -> set[x509.ObjectIdentifier]:
    return set(read(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def subject(path: Path) -> tuple[str, list[str]]:
    name = read(path).subject
    user = name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    groups = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(user), [str(group.value) for group in groups]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_server_is_known_under_all_its_names(tmp_path: Path) -> None:
    files = ensure(tmp_path, ("10.96.0.1", "my-machine"), NOW)
    assert alternatives(files.certificate()) == {
        *("localhost", "127.0.0.1", "::1", "10.96.0.1", "my-machine"),
        *("kubernetes", "kubernetes.default", "kubernetes.default.svc"),
        "kubernetes.default.svc.cluster.local",
    }
    assert purposes(files.certificate()) == {ExtendedKeyUsageOID.SERVER_AUTH}


def test_clients_carry_their_user_and_groups(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW, (ADMIN, KUBELET_CLIENT, node("n1")))
    assert subject(files.certificate("admin")) == ("kubernetes-admin", ["system:masters"])
    assert subject(files.certificate("node-n1")) == ("system:node:n1", ["system:nodes"])
    assert purposes(files.certificate("admin")) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    both = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert purposes(files.certificate("node-n1")) == both
    assert "n1" in alternatives(files.certificate("node-n1"))


def test_every_certificate_is_the_authoritys_and_none_but_it_signs(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    authority = read(files.ca)
    for name in ("server", "admin", KUBELET_CLIENT.file):
        found = read(files.certificate(name))
        found.verify_directly_issued_by(authority)
        basic = found.extensions.get_extension_for_class(x509.BasicConstraints)
        assert basic.critical and not basic.value.ca
        usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign
        assert not usage.key_encipherment and not usage.key_agreement
    basic = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical and basic.value.ca


def test_openssl_takes_the_files(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(files.certificate(), files.key())
    context.load_cert_chain(files.certificate("admin"), files.key("admin"))


def test_only_their_owner_reads_private_files(tmp_path: Path) -> None:
    files = ensure(tmp_path / "pki", (), NOW)
    assert files.directory.stat().st_mode & 0o777 == 0o700
    for path in files.directory.iterdir():
        assert path.stat().st_mode & 0o777 == (0o600 if path.suffix == ".key" else 0o644)


def test_what_is_good_stays_as_it_is(tmp_path: Path) -> None:
    ensure(tmp_path, ("a",), NOW)
    before = contents(tmp_path)
    ensure(tmp_path, ("a",), NOW + 200 * DAY)
    assert contents(tmp_path) == before
    ensure(tmp_path, (), NOW + 200 * DAY)  # one name less is still good
    assert contents(tmp_path) == before


def test_a_certificate_is_renewed_in_the_last_third_of_its_life(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    before = contents(tmp_path)
    due = renewal_due(files.certificate(), NOW)
    assert 242 * DAY < due < 244 * DAY
    later = NOW + due + 1
    ensure(tmp_path, (), later)
    after = contents(tmp_path)
    for name in ("server", "admin", KUBELET_CLIENT.file):
        assert after[f"{name}.crt"] != before[f"{name}.crt"]
        assert read(files.certificate(name)).not_valid_after_utc > datetime.fromtimestamp(
            later, UTC
        )
    assert after["ca.crt"] == before["ca.crt"]
    assert after["sa.key"] == before["sa.key"]
    assert renewal_due(files.certificate(), later) > 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.certificate().unlink(),
        lambda files: files.key().unlink(),
        lambda files: files.key().write_bytes(files.key("admin").read_bytes()),
        lambda files: files.certificate().write_bytes(files.certificate("admin").read_bytes()),
    ],
)
def test_what_does_not_fit_is_made_again(tmp_path: Path, spoil: object) -> None:
    files = ensure(tmp_path, (), NOW)
    admin = files.certificate("admin").read_bytes()
    assert callable(spoil)
    spoil(files)
    ensure(tmp_path, (), NOW)
    ssl.create_default_context(cafile=str(files.ca)).load_cert_chain(
        files.certificate(), files.key()
    )
    assert subject(files.certificate())[0] == "kube-apiserver"
    assert files.certificate("admin").read_bytes() == admin


def test_a_new_name_or_group_makes_a_new_certificate(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW, (Identity("x", "user", ("one",)),))
    ensure(tmp_path, ("192.0.2.7",), NOW, (Identity("x", "user", ("one", "two")),))
    assert "192.0.2.7" in alternatives(files.certificate())
    assert subject(files.certificate("x")) == ("user", ["one", "two"])


def test_certificates_of_another_authority_are_made_again(tmp_path: Path) -> None:
    other = ensure(tmp_path / "other", (), NOW)
    files = ensure(tmp_path / "mine", (), NOW)
    files.certificate().write_bytes(other.certificate().read_bytes())
    files.key().write_bytes(other.key().read_bytes())
    ensure(tmp_path / "mine", (), NOW)
    read(files.certificate()).verify_directly_issued_by(read(files.ca))


def test_an_authority_that_cannot_sign_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    good = {path: path.read_bytes() for path in (files.ca, files.key("ca"))}
    files.key("ca").unlink()
    with pytest.raises(BadCertificate, match=r"ca\.crt is there but .*ca\.key is missing"):
        ensure(tmp_path, (), NOW)
    files.key("ca").write_text("SECRET nonsense")
    with pytest.raises(BadCertificate, match=r"ca\.key holds no private key") as refused:
        ensure(tmp_path, (), NOW)
    assert "SECRET" not in str(refused.value)
    files.key("ca").write_bytes(files.key("admin").read_bytes())
    with pytest.raises(BadCertificate, match="is not the key of"):
        ensure(tmp_path, (), NOW)
    files.key("ca").write_bytes(good[files.key("ca")])
    with pytest.raises(BadCertificate, match="has expired"):
        ensure(tmp_path, (), NOW + 3651 * DAY)
    files.ca.write_text("nonsense")
    with pytest.raises(BadCertificate, match=r"ca\.crt holds no certificate"):
        ensure(tmp_path, (), NOW)


def test_an_authority_of_which_only_the_key_is_there_is_an_error(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    files.ca.unlink()
    with pytest.raises(BadCertificate, match=r"ca\.key is there but .*ca\.crt is missing"):
        ensure(tmp_path, (), NOW)


def test_the_front_proxy_has_a_certificate_of_an_authority_of_its_own(tmp_path: Path) -> None:
    """The server shows it to extension API servers, which trust nobody else by that authority."""
    files = ensure(tmp_path, (), NOW)
    front = read(files.certificate("front-proxy-client"))
    front.verify_directly_issued_by(read(files.front_proxy_ca))
    assert subject(files.certificate("front-proxy-client"))[0] == "front-proxy-client"
    assert purposes(files.certificate("front-proxy-client")) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert (subject(files.ca)[0], subject(files.front_proxy_ca)[0]) == (
        "kubernetes",
        "front-proxy-ca",
    )


@pytest.mark.parametrize("half", ["sa.key", "sa.pub"])
def test_keys_of_tokens_of_which_one_half_is_missing_are_made_again(
    tmp_path: Path, half: str
) -> None:
    ensure(tmp_path, (), NOW)
    before = contents(tmp_path)
    (tmp_path / half).unlink()
    ensure(tmp_path, (), NOW)
    after = contents(tmp_path)
    assert all(after[name] != before[name] for name in ("sa.key", "sa.pub"))
    key = load_pem_private_key(after["sa.key"], None)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public == after["sa.pub"]


def test_nothing_outlives_the_authority(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    ensure(tmp_path, (), NOW + 3600 * DAY)
    assert read(files.certificate()).not_valid_after_utc <= read(files.ca).not_valid_after_utc


def test_a_private_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["key"]
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError):
        write_private(tmp_path / "directory", b"three")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["directory", "key"]


def test_the_library_loads_with_first_use_only() -> None:
    import subprocess
    import sys

    code = f"import sys, {certificates.__name__}; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert Certificates(Path("/x")).service_account_public == Path("/x/sa.pub")
