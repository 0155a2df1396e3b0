"""PodCertificateRequests: what is asked for, and what a signer may answer."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.authorities import pem
from tests.checked import Causes, admitted, causes, kind_of

GROUP, PLURAL = "certificates.k8s.io", "podcertificaterequests"
START = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY = x509.Name([])
CHAIN, REQUEST = "status.certificateChain", "spec.stubPKCS10Request"
KEYS: dict[str, Any] = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "small": lambda: ec.generate_private_key(ec.SECP224R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 3072),
    "short": lambda: rsa.generate_private_key(65537, 2048),
}


@cache
def key(name: str = "ec") -> Any:
    return KEYS[name]()


@cache
def stub(name: str = "ec", *, broken: bool = False) -> str:
    digest = None if name == "ed25519" else hashes.SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(EMPTY).sign(key(name), digest)
    content = made.public_bytes(Encoding.DER)
    if broken:
        content = content[:-1] + bytes([content[-1] ^ 1])
    return base64.b64encode(content).decode()


@cache
def issued(name: str = "ec", hours: float = 24, dns: str = "", start: datetime = START) -> str:
    builder = (
        x509.CertificateBuilder()
        .subject_name(EMPTY)
        .issuer_name(EMPTY)
        .public_key(key(name).public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(hours=hours))
    )
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(dns)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key("ec"), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def document(**spec: Any) -> dict[str, Any]:
    subjects = {
        name: value
        for subject in ("pod", "serviceAccount", "node")
        for name, value in ((f"{subject}Name", "x"), (f"{subject}UID", "u"))
    }
    whole = {"signerName": "a.b/s", **subjects, "stubPKCS10Request": stub()}
    return {"spec": {**whole, **spec}}


def asked(**spec: Any) -> Causes:
    return causes(GROUP, PLURAL, document(**spec))


HIDDEN = 'Invalid value: "<value omitted>": '


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"maxExpirationSeconds": 7862400}, []),
        (
            {"maxExpirationSeconds": 7862401},
            [
                (
                    "spec.maxExpirationSeconds",
                    "Invalid value: 7862401: must be in the range [3600, 7862400]",
                )
            ],
        ),
        (
            {"maxExpirationSeconds": 3599},
            [
                (
                    "spec.maxExpirationSeconds",
                    "Invalid value: 3599: must be in the range [3600, 7862400]",
                )
            ],
        ),
        (
            {"signerName": "kubernetes.io/x", "maxExpirationSeconds": 86401},
            [
                (
                    "spec.maxExpirationSeconds",
                    "Invalid value: 86401: must be in the range [3600, 86400]",
                )
            ],
        ),
        ({"podUID": ""}, [("spec.podUID", 'Invalid value: "": must not be empty')]),
        (
            {"nodeUID": "x" * 129},
            [("spec.nodeUID", "Too long: may not be more than 128 bytes")],
        ),
        ({"unverifiedUserAnnotations": {"a.b/c": "v"}}, []),
        (
            {"unverifiedUserAnnotations": {"c": "v"}},
            [
                (
                    "spec.unverifiedUserAnnotations",
                    'Invalid value: "c": must be a domain-prefixed key (such as "acme.io/foo")',
                )
            ],
        ),
        ({"stubPKCS10Request": ""}, [(REQUEST, "Required value")]),
        (
            {"stubPKCS10Request": base64.b64encode(b"x" * 20000).decode()},
            [(REQUEST, "Too long: may not be more than 10240 bytes")],
        ),
        (
            {"stubPKCS10Request": base64.b64encode(b"x").decode()},
            [(REQUEST, f"{HIDDEN}must be a valid PKCS#10 CSR")],
        ),
        ({"stubPKCS10Request": stub("ed25519")}, []),
        ({"stubPKCS10Request": stub("rsa")}, []),
        (
            {"stubPKCS10Request": stub("short")},
            [
                (
                    REQUEST,
                    'Invalid value: "2048-bit modulus": RSA keys must have modulus size 3072 or '
                    "4096",
                )
            ],
        ),
        (
            {"stubPKCS10Request": stub("small")},
            [
                (
                    REQUEST,
                    'Invalid value: "curve secp224r1": elliptic public keys must use curve P256, '
                    "P384, or P521",
                )
            ],
        ),
        (
            {"stubPKCS10Request": stub(broken=True)},
            [(REQUEST, f"{HIDDEN}could not verify the signature of the request")],
        ),
    ],
)
def test_a_request_is_checked(spec: dict[str, Any], expected: Causes) -> None:
    assert asked(**spec) == expected


def test_names_of_those_concerned_are_checked() -> None:
    for name in ("podName", "serviceAccountName", "nodeName"):
        assert [field for field, _ in asked(**{name: "A b"})] == [f"spec.{name}"]


def test_a_day_is_asked_for_where_nothing_is_said() -> None:
    kind = kind_of(GROUP, PLURAL)
    made = kind.prepare(admitted(kind, {**document(), "status": {"notBefore": text(0)}}), None, "")
    assert made["spec"]["maxExpirationSeconds"] == 86400
    assert made["status"] == {}


def test_the_spec_stays() -> None:
    found = causes(GROUP, PLURAL, document(podName="y"), document())
    assert [field for field, _ in found] == ["spec"]
    assert found[0][1].startswith('Invalid value: {"SignerName":"a.b/s","PodName":"y","PodUID"')
    assert found[0][1].endswith(": field is immutable")


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    when = "2026-01-01T00:00:00Z"
    return {"type": kind, "status": status, "reason": "R", "lastTransitionTime": when}


def text(hours: float, start: datetime = START) -> str:
    return (start + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def issued_at(start: datetime) -> dict[str, Any]:
    hours = {"notBefore": 0, "notAfter": 24, "beginRefreshAt": 12}
    times = {name: text(number, start) for name, number in hours.items()}
    chain = issued(start=start)
    return {"conditions": [condition("Issued")], "certificateChain": chain, **times}


def answer(**fields: Any) -> dict[str, Any]:
    whole = {**issued_at(START), **fields}
    return {name: value for name, value in whole.items() if value is not None}


def answered(status: dict[str, Any], before: dict[str, Any] | None = None) -> Causes:
    old = {**document(), "status": before or {}}
    return causes(GROUP, PLURAL, {**document(), "status": status}, old, "status")


FINAL = "immutable after PodCertificateRequest is issued, denied, or failed"
BEGUN = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (answer(), []),
        ({"conditions": [condition("Denied")]}, []),
        ({"conditions": [condition("Failed")]}, []),
        (
            answer(conditions=[condition("Denied")]),
            [
                (
                    "status",
                    "Invalid value: non-condition status fields must be empty when denying or "
                    "failing the PodCertificateRequest",
                )
            ],
        ),
        (answer(conditions=None), [("status", f"Invalid value: {BEGUN}")]),
        (
            {"conditions": [condition("Issued"), condition("Denied")]},
            [
                (
                    "status.conditions.[1].type",
                    'Invalid value: "Denied": There may be at most one condition with type '
                    '"Issued", "Denied", or "Failed"',
                )
            ],
        ),
        (
            {"conditions": [condition("Denied", "False")]},
            [
                (
                    "status.conditions.[0].status",
                    'Unsupported value: "False": supported values: "True"',
                )
            ],
        ),
        (
            {"conditions": [condition("Odd")]},
            [
                (
                    "status.conditions.[0].type",
                    'Unsupported value: "Odd": supported values: "Issued", "Denied", "Failed"',
                )
            ],
        ),
        (
            answer(notBefore=None, beginRefreshAt=None),
            [
                (
                    "status.notBefore",
                    "Required value: must be present and consistent with the issued certificate",
                ),
                (
                    "status.beginRefreshAt",
                    "Required value: must be present and in the range [notbefore+10min, "
                    "notafter-10min]",
                ),
            ],
        ),
    ],
)
def test_an_answer_is_checked(status: dict[str, Any], expected: Causes) -> None:
    assert answered(status) == expected


@pytest.mark.parametrize(
    ("fields", "path", "detail"),
    [
        (
            {"certificateChain": "x"},
            CHAIN,
            "issued certificate chain must contain at least one certificate",
        ),
        (
            {"certificateChain": pem("KEY", b"x")},
            CHAIN,
            "issued certificate chain must consist entirely of CERTIFICATE PEM blocks",
        ),
        (
            {"certificateChain": pem("CERTIFICATE", b"x")},
            CHAIN,
            "leaf certificate does not parse as valid X.509",
        ),
        (
            {"certificateChain": issued() + pem("CERTIFICATE", b"x")},
            CHAIN,
            "intermediate certificate does not parse as valid X.509",
        ),
        (
            {"certificateChain": issued() + pem("KEY", b"x")},
            CHAIN,
            "issued certificate chain must consist entirely of CERTFICATE PEM blocks",
        ),
        (
            {"certificateChain": issued("rsa")},
            CHAIN,
            "leaf certificate was not issued to the requested public key",
        ),
        (
            {"certificateChain": issued(dns="a..b")},
            CHAIN,
            "leaf certificate's DNSName should not contain '..'",
        ),
        (
            {"notBefore": text(1)},
            "status.notBefore",
            "must be set to the NotBefore time encoded in the leaf certificate",
        ),
        (
            {"notAfter": text(23)},
            "status.notAfter",
            "must be set to the NotAfter time encoded in the leaf certificate",
        ),
        (
            {"certificateChain": issued(hours=0.5), "notAfter": text(0.5)},
            CHAIN,
            "leaf certificate lifetime must be >= 1 hour",
        ),
        (
            {"certificateChain": issued(hours=25), "notAfter": text(25)},
            CHAIN,
            "leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)",
        ),
        (
            {"beginRefreshAt": text(0.1)},
            "status.beginRefreshAt",
            "must be at least 10 minutes after status.notBefore",
        ),
        (
            {"beginRefreshAt": text(23.9)},
            "status.beginRefreshAt",
            "must be at least 10 minutes before status.notAfter",
        ),
    ],
)
def test_an_issued_certificate_is_what_was_asked_for(
    fields: dict[str, Any], path: str, detail: str
) -> None:
    ((field, message),) = answered(answer(**fields))
    assert field == path
    assert message.endswith(f": {detail}")


def test_a_chain_has_a_bound() -> None:
    found = answered(answer(certificateChain=issued() + "x" * 102400))
    assert found == [(CHAIN, "Too long: may not be more than 102400 bytes")]


def test_an_answer_is_final() -> None:
    assert answered(answer(), answer()) == []
    denied = {"conditions": [condition("Denied")]}
    for before in (answer(), denied):
        assert answered({"conditions": [condition("Failed")]}, before) == [
            ("status", f"Invalid value: {FINAL}")
        ]
