"""Upstream's rows about ServiceAccounts that need no node."""

from __future__ import annotations

from typing import Any

import pytest

from controlled import BUNDLE as AUTHORITY
from served import NAMESPACES, PODS, STRATEGIC, Served, pod, served
from whole import until, whole

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
BUNDLE = "kube-root-ca.crt"


@pytest.mark.parametrize("in_pod", [None, True, False])
@pytest.mark.parametrize("in_account", [None, True, False])
def test_account_and_pod_say_whether_a_token_is_mounted(
    in_account: bool | None, in_pod: bool | None
) -> None:
    @served
    async def case(api: Served) -> None:
        account: dict[str, Any] = {"metadata": {"name": "account"}}
        made = pod("one", serviceAccountName="account")
        if in_account is not None:
            account["automountServiceAccountToken"] = in_account
        if in_pod is not None:
            made["spec"]["automountServiceAccountToken"] = in_pod
        (await api.post(ACCOUNTS, account)).ok()
        (container,) = (await api.post(PODS, made)).ok()["spec"]["containers"]
        places = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        said = in_account if in_pod is None else in_pod
        assert places == ([] if said is False else [TOKENS])

    case()


@served
async def test_a_token_that_was_asked_for_is_good_in_a_review(api: Served) -> None:
    account = (await api.post(ACCOUNTS, {"metadata": {"name": "account"}})).ok()
    request = {"spec": {"expirationSeconds": 3600}}
    token = (await api.post(f"{ACCOUNTS}/account/token", request)).ok()["status"]["token"]
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    review = (await api.post(path, {"spec": {"token": token}})).ok()
    assert review["status"]["authenticated"] is True
    assert "error" not in review["status"]
    user = review["status"]["user"]
    assert user["username"] == "system:serviceaccount:default:account"
    groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert user["groups"] == groups
    assert user["uid"] == account["metadata"]["uid"]


@whole
async def test_every_namespace_has_the_bundle_and_gets_it_back(api: Served) -> None:
    (await api.post(NAMESPACES, {"metadata": {"name": "room"}})).ok()
    for namespace in ("room", "default"):
        path = f"{NAMESPACES}/{namespace}/configmaps/{BUNDLE}"

        async def there(path: str = path) -> bool:
            answer = await api.get(path)
            return answer.code == 200 and answer.document["data"] == {"ca.crt": AUTHORITY}

        await until(api, there)
        (await api.delete(path)).ok()
        await until(api, there)
        changed = (await api.get(path)).ok()
        changed["data"] = {"ca.crt": ""}
        (await api.put(path, changed)).ok()
        await until(api, there)


@served
async def test_an_account_lives_through_every_verb(api: Served) -> None:
    label = "test-serviceaccount-static=true"
    watch = await api.watch(ACCOUNTS, labelSelector=label)
    labels = {"test-serviceaccount-static": "true"}
    (await api.post(ACCOUNTS, {"metadata": {"name": "testserviceaccount", "labels": labels}})).ok()
    assert (await watch.next())["type"] == "ADDED"
    change = {"automountServiceAccountToken": False}
    (await api.patch(f"{ACCOUNTS}/testserviceaccount", change, STRATEGIC)).ok()
    assert (await watch.next())["type"] == "MODIFIED"
    listed = await api.get("/api/v1/serviceaccounts", labelSelector=label)
    assert listed.names == ["testserviceaccount"]
    assert listed.document["items"][0]["automountServiceAccountToken"] is False
    (await api.delete(ACCOUNTS, labelSelector=label)).ok()
    assert (await watch.next())["type"] == "DELETED"
    assert (await api.get(f"{ACCOUNTS}/testserviceaccount")).code == 404


@served
async def test_an_account_is_updated(api: Served) -> None:
    made = (await api.post(ACCOUNTS, {"metadata": {"name": "e2e-sa"}})).ok()
    made["automountServiceAccountToken"] = True
    (await api.put(f"{ACCOUNTS}/e2e-sa", made)).ok()
    found = (await api.get(f"{ACCOUNTS}/e2e-sa")).ok()
    assert found["automountServiceAccountToken"] is True
