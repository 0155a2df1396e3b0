"""Bootstrap tokens sign and expire; tokens of ServiceAccounts that nobody uses go."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from views import NOW, decoded, pod, time

from controlled import controlled
from served import PODS, Served, served
from steersman.controllers import bootstrap_signer, bootstrap_tokens, legacy_token_cleaner
from steersman.controllers.bootstrap_signer import BootstrapSignerController, render_signature
from steersman.controllers.legacy_token_cleaner import (
    INVALID_SINCE,
    LAST_USED,
    LegacyTokenCleanerController,
    Verdict,
    secrets_of,
)
from steersman.controllers.token_cleaner import TokenCleanerController
from steersman.model.kinds.configmap import ConfigMap
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.kinds.serviceaccount import ServiceAccount
from steersman.reconcile.actions import Delete, Patch

SYSTEM = "/api/v1/namespaces/kube-system/secrets"
INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
SECRETS = "/api/v1/namespaces/default/secrets"
DAY = timedelta(days=1)
YEAR = timedelta(days=365)


def token(name: str = "abcdef", **changes: str) -> dict[str, Any]:
    data = {
        "token-id": name,
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-signing": "true",
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
    metadata = {"name": f"bootstrap-token-{name}", "namespace": "kube-system"}
    return {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": encoded}


def view(document: dict[str, Any]) -> Any:
    return decoded(document, Secret)


def in_seconds(seconds: float) -> str:
    return time(-seconds)


def test_a_signature_is_that_of_upstream() -> None:
    # k8s.io/cluster-bootstrap, token/jws: the values of its own test
    content = "Hello from the other side. I must have called a thousand times."
    signed = render_signature(content, "joshua", "my voice is my passcode")
    wanted = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
    assert signed == wanted


@pytest.mark.parametrize(
    "changed",
    [
        {"usage_bootstrap_signing": "false"},
        {"usage_bootstrap_signing": ""},
        {"token_secret": ""},
        {"token_id": ""},
        {"token_id": "abcdeg"},
        {"expiration": in_seconds(0)},
        {"expiration": in_seconds(-1)},
        {"expiration": "tomorrow"},
        {"expiration": "2099-01-01T00:00:00"},
    ],
)
def test_a_token_that_is_not_whole_and_current_does_not_sign(changed: dict[str, str]) -> None:
    signing = bootstrap_signer.signing_tokens
    assert signing([view(token())], NOW) == {"abcdef": "0123456789abcdef"}
    assert signing([view(token(expiration=in_seconds(1)))], NOW) == {"abcdef": "0123456789abcdef"}
    assert signing([view(token(**changed))], NOW) == {}


def info(**data: str) -> Any:
    keys = {key.replace("_", "-"): value for key, value in data.items()}
    metadata = {"name": "cluster-info", "uid": "u", "resourceVersion": "7"}
    return decoded({"metadata": metadata, "data": keys}, ConfigMap)


def test_signatures_are_made_changed_and_taken_away() -> None:
    plan = bootstrap_signer.plan
    tokens = {"abcdef": "0123456789abcdef"}
    signature = render_signature("config", "abcdef", "0123456789abcdef")
    given = info(kubeconfig="config", jws_kubeconfig_old="x", other="y")
    changes = {"jws-kubeconfig-abcdef": signature, "jws-kubeconfig-old": None}
    ref = bootstrap_signer.INFO
    assert plan(given, tokens) == Patch(ref, {"data": changes}, uid="u", revision=7)
    whole = info(kubeconfig="config", jws_kubeconfig_abcdef=signature)
    assert plan(whole, tokens) is None
    other = plan(info(kubeconfig="other", jws_kubeconfig_abcdef=signature), tokens)
    assert other is not None
    assert plan(info(jws_kubeconfig_abcdef=signature), {}) is None


@served
async def test_the_cluster_is_signed_by_each_token_while_it_is_good(api: Served) -> None:
    async with controlled(api, BootstrapSignerController):
        document = {"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "config"}}
        (await api.post(INFO.rpartition("/")[0], document)).ok()
        (await api.post(SYSTEM, token())).ok()
        until = datetime.fromtimestamp(api.world.now() + 3600, UTC)
        brief = token("ghijkl", expiration=until.strftime("%Y-%m-%dT%H:%M:%SZ"))
        (await api.post(SYSTEM, brief)).ok()
        elsewhere = {**token("mnopqr"), "metadata": {"name": "bootstrap-token-mnopqr"}}
        (await api.post(SECRETS, elsewhere)).ok()
        await api.world.sleep(5)
        data = (await api.get(INFO)).ok()["data"]
        assert sorted(data) == ["jws-kubeconfig-abcdef", "jws-kubeconfig-ghijkl", "kubeconfig"]
        await api.world.sleep(3600)
        assert sorted((await api.get(INFO)).ok()["data"]) == ["jws-kubeconfig-abcdef", "kubeconfig"]
        (await api.delete(f"{SYSTEM}/bootstrap-token-abcdef")).ok()
        await api.world.sleep(5)
        assert sorted((await api.get(INFO)).ok()["data"]) == ["kubeconfig"]


def test_only_secrets_of_the_systems_namespace_are_tokens() -> None:
    assert bootstrap_tokens.is_token(view(token()))
    elsewhere = {**token(), "metadata": {"name": "x", "namespace": "default"}}
    assert not bootstrap_tokens.is_token(view(elsewhere))
    assert not bootstrap_tokens.is_token(view({**token(), "type": "Opaque"}))


def test_a_token_expires_at_its_time_and_one_without_never() -> None:
    left = bootstrap_tokens.expires_in
    assert left(view(token()), NOW) is None
    assert left(view(token(expiration=in_seconds(60))), NOW) == 60
    assert left(view(token(expiration=in_seconds(-60))), NOW) == 0
    assert left(view(token(expiration="never")), NOW) == 0


@served
async def test_an_expired_token_goes(api: Served) -> None:
    async with controlled(api, TokenCleanerController):
        until = datetime.fromtimestamp(api.world.now() + 3600, UTC)
        expiration = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, data in (("lasting", {}), ("passing", {"expiration": expiration})):
            (await api.post(SYSTEM, token(name, **data))).ok()
        other = {**token("other", expiration=expiration), "type": "Opaque"}
        (await api.post(SYSTEM, other)).ok()
        elsewhere = {**token(expiration=expiration), "metadata": {"name": "bootstrap-token-abcdef"}}
        (await api.post(SECRETS, elsewhere)).ok()
        await api.world.sleep(3590)
        assert len((await api.get(SYSTEM)).names) == 3
        await api.world.sleep(20)
        names = ["bootstrap-token-lasting", "bootstrap-token-other"]
        assert (await api.get(SYSTEM)).names == names
        assert (await api.get(SECRETS)).names == ["bootstrap-token-abcdef"]


MOMENT = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
TRACKED = datetime(2024, 1, 1, tzinfo=UTC)


def legacy(born: datetime = TRACKED, uid: str = "uid-1", **labels: str) -> Any:
    annotations = {"kubernetes.io/service-account.name": "builder"}
    if uid:
        annotations["kubernetes.io/service-account.uid"] = uid
    metadata = {
        "name": "builder-token-x",
        "namespace": "ci",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": born.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "annotations": annotations,
        "labels": {
            f"kubernetes.io/legacy-token-{k.replace('_', '-')}": v for k, v in labels.items()
        },
    }
    kind = "kubernetes.io/service-account-token"
    return decoded({"metadata": metadata, "type": kind}, Secret)


def account(*secrets: str) -> Any:
    names = [{"name": name} for name in secrets or ("builder-token-x",)]
    document = {"metadata": {"name": "builder", "uid": "uid-1"}, "secrets": names}
    return decoded(document, ServiceAccount)


def planned(
    secret: Any, owner: Any = "", *, mounted: bool = False, since: datetime = TRACKED
) -> Any:
    owner = account() if owner == "" else owner
    return legacy_token_cleaner.plan(secret, owner, mounted, since, MOMENT)


REF = SECRET.ref("ci", "builder-token-x")
MARK = Verdict(Patch(REF, {"metadata": {"labels": {INVALID_SINCE: "2026-06-15"}}}, uid="u"))


def test_a_token_that_nobody_used_for_a_year_is_marked_and_a_year_later_deleted() -> None:
    assert planned(legacy()) == MARK
    assert planned(legacy(uid="")) == MARK
    assert planned(legacy(invalid_since="x")) == MARK
    assert planned(legacy(last_used="2025-06-14")) == MARK
    assert planned(legacy(last_used="2025-06-15")) == Verdict(
        again=datetime(2025, 6, 16, tzinfo=UTC) + YEAR
    )
    assert planned(legacy(invalid_since="2025-06-14")) == Verdict(Delete(REF, "u", 7))
    assert planned(legacy(invalid_since="2025-06-15")) == Verdict(
        again=datetime(2025, 6, 16, tzinfo=UTC) + YEAR
    )


def test_a_token_is_looked_at_when_it_can_have_been_unused_for_long_enough() -> None:
    born = MOMENT - timedelta(days=10)
    assert planned(legacy(born)) == Verdict(again=born + YEAR)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert planned(legacy(), since=since) == Verdict(again=since + DAY + YEAR)
    assert planned(legacy(MOMENT - YEAR)) == MARK


def test_a_token_that_somebody_asked_for_or_that_is_in_use_stays() -> None:
    assert planned(legacy(), account("other")) == Verdict()
    assert planned(legacy(), None) == Verdict()
    assert planned(legacy(uid="uid-2")) == Verdict()
    assert planned(legacy(last_used="x")) == Verdict()
    assert planned(legacy(), mounted=True) == Verdict(again=MOMENT + DAY)
    leaving = decoded({"metadata": {"deletionTimestamp": time(0)}}, Secret)
    assert planned(leaving) == Verdict()


def test_all_secrets_that_a_pod_names_are_in_use() -> None:
    reference = {"valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}
    spec = {
        "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"name": "c", "env": [{"name": "A", **reference}, {"name": "B"}]}],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "all"}}, {}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "files"}},
            {"name": "b", "projected": {"sources": [{"secret": {"name": "part"}}, {}]}},
            {"name": "c", "emptyDir": {}},
        ],
    }
    assert sorted(secrets_of(pod("x", spec=spec))) == ["all", "files", "key", "part", "pull"]


class Hasty(LegacyTokenCleanerController):
    """The same, for whom three days are enough."""

    period = 3 * DAY


@served
async def test_an_unused_token_of_an_account_is_marked_and_then_ends(api: Served) -> None:
    made = {
        "metadata": {"name": "builder"},
        "secrets": [{"name": it} for it in ("made", "mounted", "opaque")],
    }
    (await api.post("/api/v1/namespaces/default/serviceaccounts", made)).ok()
    for name in ("made", "asked-for", "mounted", "opaque"):
        annotations = {"kubernetes.io/service-account.name": "builder"}
        kind = "Opaque" if name == "opaque" else "kubernetes.io/service-account-token"
        body = {"metadata": {"name": name, "annotations": annotations}, "type": kind}
        (await api.post(SECRETS, body)).ok()
    volumes = [{"name": "v", "secret": {"secretName": "mounted"}}]
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    (await api.post(PODS, {"metadata": {"name": "p"}, "spec": spec})).ok()
    day = DAY.total_seconds()
    async with controlled(api, Hasty):
        await api.world.sleep(4 * day - 3600)
        labels = (await api.get(f"{SECRETS}/made")).ok()["metadata"].get("labels")
        assert labels is None
        await api.world.sleep(7200)
        labels = (await api.get(f"{SECRETS}/made")).ok()["metadata"]["labels"]
        assert list(labels) == [INVALID_SINCE] and LAST_USED not in labels
        await api.world.sleep(4 * day - 7200)
        assert (await api.get(SECRETS)).names == ["asked-for", "made", "mounted", "opaque"]
        await api.world.sleep(7200)
        assert (await api.get(SECRETS)).names == ["asked-for", "mounted", "opaque"]
