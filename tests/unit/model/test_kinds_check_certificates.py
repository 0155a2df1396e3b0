"""ClusterTrustBundle and StorageVersionMigration."""

from __future__ import annotations

from ssl import PEM_cert_to_DER_cert
from typing import Any

import pytest
from tests.authorities import certificate, pem
from tests.checked import IMMUTABLE, Causes, causes

CERTIFICATES = "certificates.k8s.io"
REQUIRED = "Required value"
SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of"


def der(name: str) -> bytes:
    return PEM_cert_to_DER_cert(certificate(name))


def bundle(text: str, name: str = "x", signer: str = "", old: Any = None) -> Causes:
    spec = {"trustBundle": text, **({"signerName": signer} if signer else {})}
    document = {"metadata": {"name": name}, "spec": spec}
    return causes(CERTIFICATES, "clustertrustbundles", document, old)


def test_a_sound_bundle_passes() -> None:
    both = f"words before\n{certificate('a')}and between\n{certificate('b')}"
    assert bundle(both) == []
    assert bundle(both, "a.b:s:x", "a.b/s") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at least one trust anchor must be provided"),
        (
            "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
            "at least one trust anchor must be provided",
        ),
        (pem("KEY", b"x"), "entry 0 has bad block type: KEY"),
        (pem("CERTIFICATE", b"x", "A: b\n\n"), "entry 0 has PEM block headers"),
        (pem("CERTIFICATE", b"x"), "entry 0 does not parse as X.509"),
        (pem("CERTIFICATE", b""), "entry 0 does not parse as X.509"),
    ],
)
def test_what_is_no_bundle(text: str, problem: str) -> None:
    assert bundle(text) == [("spec.trustBundle", f'Invalid value: "<value omitted>": {problem}')]


def test_a_block_holds_one_certificate_and_nothing_else() -> None:
    wrong = 'Invalid value: "<value omitted>": entry 0 does not parse as X.509'
    for content in (der("a") + b"x", der("a") + der("b"), der("a")[:-1]):
        assert bundle(pem("CERTIFICATE", content)) == [("spec.trustBundle", wrong)]


@pytest.mark.parametrize(("ca", "signs"), [(False, False), (None, False), (None, True)])
def test_an_anchor_is_an_authority(ca: bool | None, signs: bool) -> None:
    text = certificate("a") + certificate("b", ca=ca, signs=signs)
    assert bundle(text) == [
        (
            "spec.trustBundle",
            'Invalid value: "<value omitted>": entry 1 does not have the CA bit set',
        )
    ]


def test_an_anchor_stands_once_in_a_bundle_that_has_a_bound() -> None:
    text = certificate("a") + certificate("b") + certificate("a")
    assert bundle(text) == [
        (
            "spec.trustBundle",
            'Invalid value: "<value omitted>": duplicate trust anchor (indices [0 2])',
        )
    ]
    assert bundle("a" * (1024 * 1024 + 1)) == [
        ("spec.trustBundle", "Too long: may not be more than 1048576 bytes")
    ]


@pytest.mark.parametrize(
    ("name", "signer", "problem"),
    [
        ("a:b", "", 'ClusterTrustBundle without signer name must not have ":" in its name'),
        (
            "x",
            "a.b/s",
            "ClusterTrustBundle for signerName a.b/s must be named with prefix a.b:s:",
        ),
    ],
)
def test_a_bundle_is_named_after_its_signer(name: str, signer: str, problem: str) -> None:
    assert bundle(certificate("a"), name, signer) == [
        ("metadata.name", f'Invalid value: "{name}": {problem}')
    ]


def test_the_rest_of_a_bundles_name_is_a_subdomain() -> None:
    for name, signer in (("A", ""), ("a.b:s:A", "a.b/s")):
        found = bundle(certificate("a"), name, signer)
        assert [field for field, _text in found] == ["metadata.name"]
        assert SUBDOMAIN in found[0][1]


@pytest.mark.parametrize(
    ("signer", "problems"),
    [
        (
            "a.b",
            ["must be a fully qualified domain and path of the form 'example.com/signer-name'"],
        ),
        ("a/s", ["should be a domain with at least two segments separated by dots"]),
        ("A.b/s", ['validating label "A": a lowercase RFC 1123 label must']),
        ("a.b/S", [f'validating label "S": {SUBDOMAIN}']),
    ],
)
def test_names_of_signers(signer: str, problems: list[str]) -> None:
    name = f"{signer.replace('/', ':')}:x"
    found = bundle(certificate("a"), name, signer)
    assert [field for field, _text in found] == ["spec.signerName"] * len(problems)
    for (_field, text), problem in zip(found, problems, strict=True):
        assert f": {problem}" in text


def test_the_name_of_a_signer_has_bounds() -> None:
    signer = f"{'a' * 63}.{'.'.join(['b' * 63] * 4)}/{'.'.join(['c' * 63] * 5)}"
    found = bundle(certificate("a"), f"{signer.replace('/', ':')}:x", signer)
    assert ("spec.signerName", "Too long: may not be more than 253 bytes") in found
    assert ("spec.signerName", "Too long: may not be more than 571 bytes") in found


def test_a_bundle_that_stays_is_not_read_again_and_its_signer_stays() -> None:
    old = {"metadata": {"name": "x"}, "spec": {"trustBundle": "bad"}}
    assert bundle("bad", old=old) == []
    assert len(bundle("worse", old=old)) == 1
    assert bundle("bad", signer="a.b/s", old=old) == [
        ("spec.signerName", f'Invalid value: "a.b/s": {IMMUTABLE}')
    ]


MIGRATION = {"resource": {"group": "apps", "resource": "deployments"}}
TIME = "2024-01-01T00:00:00Z"


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "R", "lastTransitionTime": TIME}


def migrated(old: dict[str, Any], new: dict[str, Any]) -> Causes:
    new = {"resourceVersion": "5", **new}
    documents = ({"spec": MIGRATION, "status": status} for status in (new, old))
    return causes("storagemigration.k8s.io", "storageversionmigrations", *documents, "status")


def test_a_migration_is_of_one_resource() -> None:
    group, plural = "storagemigration.k8s.io", "storageversionmigrations"
    assert causes(group, plural, {"spec": MIGRATION}) == []
    assert causes(group, plural, {"spec": {"resource": {"group": "g"}}}) == [
        ("spec.resource.resource", f"{REQUIRED}: resource is required to be set")
    ]
    other = {"spec": {"resource": {"group": "g", "resource": "r"}}}
    assert causes(group, plural, other, {"spec": MIGRATION}) == [
        ("spec", f'Invalid value: {{"resource":{{"group":"g","resource":"r"}}}}: {IMMUTABLE}')
    ]
    bad = {"spec": {"resource": {"group": "G", "resource": "r.s"}}}
    assert [field for field, _text in causes(group, plural, bad)] == [
        "spec.resource.resource",
        "spec.resource.group",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (("Running",), ("Succeeded",), ""),
        (
            (),
            ("Succeeded", "Failed"),
            "Both success and failed conditions cannot be true at the same time",
        ),
        (
            (),
            ("Succeeded", "Running"),
            "Running condition cannot be true when success condition is true",
        ),
        (
            (),
            ("Failed", "Running"),
            "Running condition cannot be true when failed condition is true",
        ),
        (("Succeeded",), (), "Success condition cannot be set to false once it is true"),
        (("Failed",), (), "Failed condition cannot be set to false once it is true"),
    ],
)
def test_how_a_migration_goes(old: tuple[str, ...], new: tuple[str, ...], problem: str) -> None:
    before, after = ({"conditions": [*map(condition, kinds)]} for kinds in (old, new))
    found = migrated(before, after)
    assert [field for field, _text in found] == (["status.conditions"] if problem else [])
    assert all(text.endswith(f": {problem}") for _field, text in found)


def test_the_revision_of_a_migration_is_set_once() -> None:
    assert migrated({}, {"resourceVersion": "5"}) == []
    path = "status.resourceVersion"
    assert migrated({}, {"resourceVersion": "abc"}) == [
        (path, 'Invalid value: "abc": resource version is not well formed: abc')
    ]
    assert len(migrated({}, {"resourceVersion": "05"})) == 1
    assert migrated({}, {"resourceVersion": ""}) == [
        (path, 'Invalid value: "": resource version is not well formed: ')
    ]
    assert migrated({"resourceVersion": "5"}, {"resourceVersion": "6"}) == [
        (path, f'Invalid value: "6": {IMMUTABLE}')
    ]
    assert migrated({"resourceVersion": "5"}, {"resourceVersion": "5"}) == []
