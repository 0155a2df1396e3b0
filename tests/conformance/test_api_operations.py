"""Upstream's rows of the form "should support … API operations": each resource, every verb."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from tests.unit.model.test_kinds_check_pod_certificates import document, issued_at

from authorities import certificate, request
from served import Document, Served, served
from walks import CONDITION, Tour, Walk, tour, walk

NOTED: Document = {"metadata": {"annotations": {"patched": "true"}}}
RENOTED: Document = {"metadata": {"annotations": {"updated": "true"}}}
FLOW = "flowcontrol.apiserver.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
CERTIFICATES = "certificates.k8s.io"
CONDITIONS: Document = {"status": {"conditions": [CONDITION]}}
DEPLOYMENTS: Document = {
    "resourceRules": [
        {
            "operations": ["CREATE"],
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "resources": ["deployments"],
        }
    ]
}


def condition(kind: str) -> Document:
    """Returns a status with one condition."""
    made = {**CONDITION, "type": kind}
    return {"status": {"conditions": [made]}}


@served
async def test_flow_schemas(api: Served) -> None:
    subject = {"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}
    nowhere = {"verbs": ["*"], "nonResourceURLs": ["/example-e2e/*"]}
    spec = {
        "matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [subject], "nonResourceRules": [nowhere]}],
    }
    changes = [{**NOTED, "spec": {"matchingPrecedence": 9999}}]
    changes += [{**RENOTED, "spec": {"matchingPrecedence": 9998}}]
    status = {"status": condition("PatchStatusFailed")}
    await walk(api, Walk(FLOW, "flowschemas", {"spec": spec}, changes[0], changes[1], status))


@served
async def test_priority_level_configurations(api: Served) -> None:
    limited = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}
    body = {"spec": {"type": "Limited", "limited": limited}}
    changes = [{**NOTED, "spec": {"limited": {"nominalConcurrencyShares": 4}}}]
    changes += [{**RENOTED, "spec": {"limited": {"nominalConcurrencyShares": 6}}}]
    status = {"status": condition("PatchStatusFailed")}
    await walk(api, Walk(FLOW, "prioritylevelconfigurations", body, *changes, status))


@served
async def test_validating_admission_policies(api: Served) -> None:
    validation = {
        "expression": "object.spec.replicas <= 100",
        "messageExpression": "'too many replicas: ' + string(object.spec.replicas)",
    }
    body = {"spec": {"validations": [validation], "matchConstraints": DEPLOYMENTS}}
    changes = [{**NOTED, "spec": {"failurePolicy": "Ignore"}}]
    changes += [{**RENOTED, "spec": {"failurePolicy": "Fail"}}]
    status = {"status": CONDITIONS}
    await walk(api, Walk(ADMISSION, "validatingadmissionpolicies", body, *changes, status))


@served
async def test_bindings_of_validating_admission_policies(api: Served) -> None:
    body = {"spec": {"policyName": "absent", "validationActions": ["Deny"]}}
    resources = {"resourceRules": DEPLOYMENTS["resourceRules"]}
    changes = [{**NOTED, "spec": {"matchResources": resources}}]
    changes += [{**RENOTED, "spec": {"validationActions": ["Audit"]}}]
    await walk(api, Walk(ADMISSION, "validatingadmissionpolicybindings", body, *changes))


@served
async def test_mutating_admission_policies(api: Served) -> None:
    expression = "Object{metadata: Object.metadata{annotations: {'my-foo-annotation': 'x'}}}"
    mutation = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": expression},
    }
    spec = {
        "reinvocationPolicy": "Never",
        "mutations": [mutation],
        "matchConstraints": DEPLOYMENTS,
    }
    changes = [{**NOTED, "spec": {"failurePolicy": "Ignore"}}]
    changes += [{**RENOTED, "spec": {"failurePolicy": "Fail"}}]
    await walk(api, Walk(ADMISSION, "mutatingadmissionpolicies", {"spec": spec}, *changes))


@served
async def test_bindings_of_mutating_admission_policies(api: Served) -> None:
    body = {"spec": {"policyName": "replicalimit-policy.example.com"}}
    changes = [{**NOTED, "spec": {"matchResources": DEPLOYMENTS}}]
    changes += [{**RENOTED, "spec": {"policyName": "other-policy.example.com"}}]
    await walk(api, Walk(ADMISSION, "mutatingadmissionpolicybindings", body, *changes))


@served
async def test_certificate_signing_requests(api: Served) -> None:
    spec = {
        "request": request("e2e.example.com"),
        "signerName": "example.com/e2e-walk",
        "expirationSeconds": 3600,
        "usages": ["digital signature", "key encipherment", "server auth"],
    }
    written = {"certificate": issued("e2e.example.com")}
    certificates = {
        "approval": condition("ApprovalPatch"),
        "status": {"status": written},
    }
    it = Walk(
        CERTIFICATES, "certificatesigningrequests", {"spec": spec}, NOTED, RENOTED, certificates
    )
    await walk(api, it)


def issued(name: str) -> str:
    """Returns a certificate in base64, as a status holds it."""
    return base64.b64encode(certificate(name, ca=False).encode()).decode()


@served
async def test_pod_certificate_requests(api: Served) -> None:
    spec = {
        **document()["spec"],
        "signerName": "example.com/e2e-walk",
        "podName": "test-pod",
        "maxExpirationSeconds": 86400,
    }
    change = {"metadata": {"labels": {"test.podcertificaterequest.example.com": "test"}}}
    begin = datetime.fromtimestamp(int(api.world.now()), UTC) - timedelta(minutes=1)
    it = Tour(
        CERTIFICATES,
        "podcertificaterequests",
        {"metadata": {"name": "test"}, "spec": spec},
        change,
        {"status": issued_at(begin)},
        namespaced=True,
    )
    await tour(api, it)


@served
async def test_cluster_trust_bundles(api: Served) -> None:
    name = "example.com:signer:test"
    spec = {"signerName": "example.com/signer", "trustBundle": certificate("ctb-1")}
    body = {"metadata": {"name": name}, "spec": spec}
    change = {"metadata": {"labels": {"test.example.com": "test"}}}
    await tour(api, Tour(CERTIFICATES, "clustertrustbundles", body, change))


@served
async def test_storage_version_migrations(api: Served) -> None:
    spec = {"resource": {"group": "", "resource": "foo"}}
    body = {"metadata": {"name": "test"}, "spec": spec}
    change = {"metadata": {"labels": {"test.storagemigration.example.com": "test"}}}
    status = {"status": {"resourceVersion": "1", "conditions": [CONDITION]}}
    it = Tour("storagemigration.k8s.io", "storageversionmigrations", body, change, status)
    await tour(api, it)
