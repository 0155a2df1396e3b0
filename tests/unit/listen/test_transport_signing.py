"""What the cluster's authority puts into the certificates that it signs."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import DNSName, IPAddress, RegisteredID, RFC822Name
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

from authorities import request
from steersman.listen.certificates import BadCertificate, Certificates, ensure
from steersman.listen.signing import Authority

NOW = 1_800_000_000.0
MOMENT = datetime.fromtimestamp(NOW, UTC)
HOUR = 3600


def asked(text: str) -> bytes:
    """Returns a request as the controller hands it over."""
    (_, body) = b64decode(text).decode().split("-----\n", 1)
    return b64decode(body.split("-----")[0])


def signed(
    directory: Path,
    text: str,
    *usages: str,
    seconds: int = 365 * 24 * HOUR,
    now: float = NOW,
) -> x509.Certificate:
    files = ensure(directory, (), NOW)
    pem = Authority(files, lambda: now).sign(asked(text), usages, seconds)
    made = x509.load_pem_x509_certificate(pem)
    made.verify_directly_issued_by(x509.load_pem_x509_certificate(files.ca.read_bytes()))
    return made


def test_subject_and_names_are_handed_over_and_nothing_else_is(tmp_path: Path) -> None:
    given = (
        IPAddress(ip_address("10.0.0.1")),
        RFC822Name("a@b.c"),
        DNSName("a.b"),
        RegisteredID(x509.ObjectIdentifier("1.2.3")),
    )
    text = request("somebody", groups=("a", "b"), names=given)
    made = signed(tmp_path, text, "client auth", "digital signature")
    assert made.subject.rfc4514_string() == "CN=somebody,O=b,O=a"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [given[2], given[1], given[0]]
    assert not names.critical
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.critical) == (False, True)
    assert made.public_key() == x509.load_der_x509_csr(asked(text)).public_key()
    assert len(made.extensions) == 5


def test_usages_are_those_that_were_asked_for(tmp_path: Path) -> None:
    asked_for = ("server auth", "client auth", "s/mime", "email protection", "key encipherment")
    made = signed(tmp_path, request("x"), *asked_for)
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(purposes.value) == [Usage.SERVER_AUTH, Usage.CLIENT_AUTH, Usage.EMAIL_PROTECTION]
    usage = made.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_encipherment, usage.value.digital_signature) == (True, False)
    none = signed(tmp_path, request("x"), "client auth")
    with pytest.raises(x509.ExtensionNotFound):
        none.extensions.get_extension_for_class(x509.KeyUsage)
    with pytest.raises(ValueError, match="unrecognized usage values: \\['swimming'\\]"):
        signed(tmp_path, request("x"), "client auth", "swimming")


def test_who_has_no_subject_has_names_that_must_be_understood(tmp_path: Path) -> None:
    made = signed(tmp_path, request("", names=(DNSName("a.b"),)), "server auth")
    assert made.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_a_certificate_is_dated_back_and_a_short_one_does_not_end_earlier(tmp_path: Path) -> None:
    back = timedelta(minutes=5)
    long = signed(tmp_path, request("x"), "client auth", seconds=8 * HOUR)
    assert (long.not_valid_before_utc, long.not_valid_after_utc) == (
        MOMENT - back,
        MOMENT + timedelta(hours=8) - back,
    )
    short = signed(tmp_path, request("x"), "client auth", seconds=8 * HOUR - 1)
    assert (short.not_valid_before_utc, short.not_valid_after_utc) == (
        MOMENT - back,
        MOMENT + timedelta(hours=8, seconds=-1),
    )


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    files = ensure(tmp_path, (), NOW)
    last = x509.load_pem_x509_certificate(files.ca.read_bytes()).not_valid_after_utc
    late = last.timestamp() - HOUR
    made = signed(tmp_path, request("x"), "client auth", now=late)
    assert made.not_valid_after_utc == last
    with pytest.raises(BadCertificate, match="the signer has expired"):
        signed(tmp_path, request("x"), "client auth", now=last.timestamp())


def test_a_request_whose_key_did_not_sign_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unable to verify certificate request signature"):
        signed(tmp_path, request("broken", broken=True), "client auth")


def test_without_a_key_nothing_is_signed_and_the_file_is_named(tmp_path: Path) -> None:
    files = Certificates(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"ca\.crt"):
        Authority(files, lambda: NOW).sign(asked(request("x")), ("client auth",), HOUR)
