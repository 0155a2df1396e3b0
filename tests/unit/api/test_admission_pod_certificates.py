"""Who may answer requests for certificates of pods, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.served import Served, served
from tests.unit.model.test_kinds_check_pod_certificates import condition, document, issued_at

from steersman.wire.message import User

PATH = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"
USER = User("u", ("system:authenticated",))
DENIED = {"status": {"conditions": [condition("Denied")]}}


async def allow(api: Served, name: str, resource: str, verb: str, of: str = "") -> None:
    rule: dict[str, Any] = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": [resource],
        "verbs": [verb],
        **({"resourceNames": [of]} if of else {}),
    }
    (await api.post(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": [rule]})).ok()
    reference = {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    (await api.post(f"{RBAC}/clusterrolebindings", binding)).ok()


@served
async def test_only_those_who_may_sign_answer(api: Served) -> None:
    for name in ("one", "two"):
        (await api.post(PATH, {**document(), "metadata": {"name": name}})).ok()
    await allow(api, "status", "podcertificaterequests/status", "patch")
    refused = await api.patch(f"{PATH}/one/status", DENIED, MERGE, user=USER)
    assert refused.code == 422
    (cause,) = refused.document["details"]["causes"]
    assert cause == {
        "reason": "FieldValueForbidden",
        "field": "spec.signerName",
        "message": 'Forbidden: User "u" is not permitted to "sign" for signer "a.b/s"',
    }
    assert (await api.patch(f"{PATH}/one/status", {}, MERGE, user=USER)).code == 200
    await allow(api, "other", "signers", "sign", of="c.d/*")
    assert (await api.patch(f"{PATH}/one/status", DENIED, MERGE, user=USER)).code == 422
    await allow(api, "own", "signers", "sign", of="a.b/s")
    (await api.patch(f"{PATH}/one/status", DENIED, MERGE, user=USER)).ok()
    (await api.delete(f"{RBAC}/clusterrolebindings/own")).ok()
    await allow(api, "domain", "signers", "sign", of="a.b/*")
    (await api.patch(f"{PATH}/two/status", DENIED, MERGE, user=USER)).ok()


@served
async def test_a_certificate_begins_about_now(api: Served) -> None:
    async def told(name: str, seconds: int) -> Any:
        (await api.post(PATH, {**document(), "metadata": {"name": name}})).ok()
        begin = datetime.fromtimestamp(int(api.world.now()) + seconds, UTC)
        return await api.patch(f"{PATH}/{name}/status", {"status": issued_at(begin)}, MERGE)

    text = "must be set to within 5 minutes of kube-apiserver's current time"
    for name, seconds in (("late", 301), ("early", -301)):
        assert text in (await told(name, seconds)).message
    await allow(api, "status", "podcertificaterequests/status", "patch")
    begin = datetime.fromtimestamp(int(api.world.now()) + 301, UTC)
    answer = await api.patch(f"{PATH}/late/status", {"status": issued_at(begin)}, MERGE, user=USER)
    (cause,) = answer.document["details"]["causes"]  # nor is it asked then who signs
    assert cause["field"] == "status.notBefore"
    for name, seconds in (("soon", 299), ("before", -298)):
        (await told(name, seconds)).ok()
