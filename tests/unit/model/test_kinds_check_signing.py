"""CertificateSigningRequest: the request, the decision and the certificate."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.authorities import certificate, pem, request
from tests.checked import Causes, admitted, causes, kind_of

GROUP, PLURAL = "certificates.k8s.io", "certificatesigningrequests"
REQUIRED = "Required value"
SOUND: dict[str, Any] = {
    "request": request("x"),
    "signerName": "a.b/s",
    "usages": ["client auth"],
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ISSUED = encoded(certificate("x"))


def condition(kind: str, status: str = "True", reason: str = "R") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason}


def document(spec: dict[str, Any] | None = None, name: str = "x", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {**SOUND, **(spec or {})}, "status": status}


def asked(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    before = None if old is None else document(old)
    found = causes(GROUP, PLURAL, document(spec), before)
    return [(field.removeprefix("spec."), text) for field, text in found]


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519", "rsa"])
def test_a_sound_request_passes(algorithm: str) -> None:
    assert asked(request=request("x", algorithm=algorithm), expirationSeconds=600) == []


@pytest.mark.parametrize(
    ("algorithm", "problem"),
    [
        ("ecdsa", "x509: ECDSA verification failure"),
        ("ed25519", "x509: Ed25519 verification failure"),
        ("rsa", "crypto/rsa: verification error"),
    ],
)
def test_a_request_is_signed_with_its_key(algorithm: str, problem: str) -> None:
    broken = request("abc", algorithm=algorithm, broken=True)
    assert asked(request=broken) == [("request", f'Invalid value: "{broken}": {problem}')]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "PEM block type must be CERTIFICATE REQUEST"),
        (certificate("x"), "PEM block type must be CERTIFICATE REQUEST"),
        (
            pem("CERTIFICATE REQUEST", b"x"),
            "asn1: structure error: the request cannot be read",
        ),
    ],
    ids=["no PEM", "a certificate", "no DER"],
)
def test_what_is_no_request(text: str, problem: str) -> None:
    given = encoded(text)
    assert asked(request=given) == [("request", f'Invalid value: "{given}": {problem}')]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"usages": []}, [("usages", REQUIRED)]),
        (
            {"usages": ["signing", "signing"]},
            [("usages[1]", 'Duplicate value: "signing"')],
        ),
        ({"signerName": ""}, [("signerName", REQUIRED)]),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            [
                (
                    "signerName",
                    'Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not '
                    "allowed via this API version",
                )
            ],
        ),
        (
            {"expirationSeconds": 599},
            [
                (
                    "expirationSeconds",
                    "Invalid value: 599: may not specify a duration less than 600 seconds (10 "
                    "minutes)",
                )
            ],
        ),
    ],
)
def test_requests(spec: dict[str, Any], expected: Causes) -> None:
    assert asked(**spec) == expected


def test_what_was_wrong_with_a_request_may_stay() -> None:
    unknown = {"usages": ["flying", "flying"]}
    assert [field for field, _text in asked(**unknown)] == ["usages[0]", "usages[1]", "usages[1]"]
    assert asked(**unknown)[0][1].startswith(
        'Unsupported value: "flying": supported values: "any", "cert sign", "client auth", '
    )
    assert asked(unknown, **unknown) == []
    legacy = {"signerName": "kubernetes.io/legacy-unknown"}
    assert asked(legacy, **legacy) == []


def test_a_request_may_have_any_path_segment_as_its_name_which_is_read_last() -> None:
    assert causes(GROUP, PLURAL, document(name="My Request:1")) == []
    assert causes(GROUP, PLURAL, document(name="a/b")) == [
        ("metadata.name", "Invalid value: \"a/b\": may not contain '/'")
    ]
    found = causes(GROUP, PLURAL, document({"usages": []}, name="a/b"))
    assert found == [("spec.usages", REQUIRED)]


def changed(old: dict[str, Any], new: dict[str, Any], subresource: str) -> Causes:
    kind = kind_of(GROUP, PLURAL)
    before = admitted(kind, document(**old))
    after = kind.prepare(admitted(kind, document(**new)), before, subresource)
    found = kind.check(after, before, subresource)
    return [(cause.field.removeprefix("status."), cause.message) for cause in found]


MEMBERS = [f'conditions[{{"type": "{kind}"}}]' for kind in ("Approved", "Denied")]
SHOWN = "{" + ", ".join(MEMBERS).replace('"', '\\"') + "}"
BOTH = "`, `".join(MEMBERS)
EXCLUSIVE = f'Invalid value: "{SHOWN}": must specify at most one of: `{BOTH}`'


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([condition("Approved"), condition("Ready", "False")], []),
        (
            [condition("Approved"), condition("Denied")],
            [("conditions", EXCLUSIVE)],
        ),
        (
            [condition("Denied"), condition("Approved", "False")],
            [
                (
                    "conditions[1].status",
                    'Unsupported value: "False": supported values: "True"',
                ),
                ("conditions", EXCLUSIVE),
            ],
        ),
        (
            [condition("", "Yes"), condition("A", "")],
            [
                ("conditions[0].type", REQUIRED),
                (
                    "conditions[0].status",
                    'Unsupported value: "Yes": supported values: "False", "True", "Unknown"',
                ),
                ("conditions[1].status", REQUIRED),
            ],
        ),
        ([condition("A"), condition("A")], [("conditions[1].type", 'Duplicate value: "A"')]),
    ],
)
def test_conditions(conditions: list[dict[str, Any]], expected: Causes) -> None:
    assert changed({}, {"conditions": conditions}, "approval") == expected


@pytest.mark.parametrize(
    "conditions",
    [
        [condition("Approved"), condition("Denied")],
        [condition("A"), condition("A")],
        [condition("")],
    ],
)
def test_conditions_that_were_wrong_may_stay(conditions: list[dict[str, Any]]) -> None:
    assert changed({"conditions": conditions}, {"conditions": conditions}, "approval") == []


def test_a_decision_is_made_by_approval_alone_and_stays() -> None:
    decided = {"conditions": [condition("Approved")]}
    assert changed({}, decided, "approval") == []
    assert changed({}, decided, "status") == [
        ("conditions", 'Forbidden: updates may not add a condition of type "Approved"')
    ]
    removed = 'Forbidden: updates may not remove a condition of type "{}"'
    assert changed(decided, {}, "approval") == [("conditions", removed.format("Approved"))]
    assert changed(decided, {}, "status") == [("conditions", removed.format("Approved"))]
    failed = {"conditions": [condition("Failed")]}
    assert changed({}, failed, "status") == []
    assert changed(failed, {}, "status") == [("conditions", removed.format("Failed"))]


def test_an_update_of_the_status_leaves_a_decision_as_it_is() -> None:
    kind = kind_of(GROUP, PLURAL)
    before = document(conditions=[condition("Approved")])
    other = condition("Failed")
    after = document(conditions=[other, condition("Approved", reason="Other")])
    status = kind.prepare(after, before, "status")["status"]
    assert status["conditions"] == [other, condition("Approved")]
    status = kind.prepare(after, before, "approval")["status"]
    assert status["conditions"][1]["reason"] == "Other"


def test_a_certificate_is_set_once_through_the_status() -> None:
    issued = {"certificate": ISSUED}
    assert changed({}, issued, "status") == []
    assert changed({}, issued, "approval") == [
        ("certificate", "Forbidden: updates may not set certificate content")
    ]
    other = {"certificate": encoded(certificate("y"))}
    assert changed(issued, other, "status") == [
        ("certificate", "Forbidden: updates may not modify existing certificate content")
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "must contain at least one CERTIFICATE PEM block"),
        (pem("KEY", b"x"), 'only CERTIFICATE PEM blocks are allowed, found "KEY"'),
        (pem("CERTIFICATE", b"x", "A: b\n\n"), "no PEM block headers are permitted"),
        (pem("CERTIFICATE", b"x"), "x509: malformed certificate"),
    ],
)
def test_what_is_no_certificate(text: str, problem: str) -> None:
    bad = {"certificate": encoded(text)}
    assert changed({}, bad, "status") == [
        ("certificate", f'Invalid value: "<certificate data>": {problem}')
    ]
    assert changed(bad, bad, "status") == []


def test_the_spec_of_a_request_stays_whatever_is_sent() -> None:
    kind = kind_of(GROUP, PLURAL)
    before = document()
    after = document({"usages": ["signing"], "username": "me"})
    assert kind.prepare(after, before, "")["spec"] == SOUND
    assert kind.prepare(document(conditions=[condition("Approved")]), None, "")["status"] == {}
