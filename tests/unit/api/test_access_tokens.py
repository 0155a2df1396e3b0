"""ServiceAccount tokens from request to verification."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization

from steersman.api.access import token_request
from steersman.api.access.tokens import (
    CACHE_SIZE,
    ISSUER,
    Bound,
    InvalidToken,
    Key,
    Tokens,
    new_key,
)
from steersman.model.errors import BadRequest, Conflict, Invalid, NotFound
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.model.view import Meta

KEY = Key(new_key())
NOW = 1_900_000_000.0
ACCOUNT = Bound("ServiceAccount", "builder", "sa-1")
POD = Bound("Pod", "web", "pod-1")


class Cluster:
    """Live objects, and a clock."""

    def __init__(self) -> None:
        self.time = NOW
        self.objects: dict[Ref, Document] = {}
        numbers = count(1)
        self.put("serviceaccounts", "builder", "sa-1")
        self.put("pods", "web", "pod-1", serviceAccountName="builder", nodeName="n1")
        self.put("secrets", "bound", "secret-1")
        self.put("nodes", "n1", "node-1", namespace="")
        self.tokens = Tokens(
            [KEY],
            self.meta,
            wall=lambda: self.time,
            now=lambda: self.time,
            uid=lambda: f"jti-{next(numbers)}",
        )

    def put(self, plural: str, name: str, uid: str, namespace: str = "ci", **spec: str) -> None:
        ref = Ref(Resource("", plural), namespace, name)
        self.objects[ref] = {"metadata": {"name": name, "uid": uid}, "spec": spec}

    def remove(self, plural: str, name: str, namespace: str = "ci") -> None:
        del self.objects[Ref(Resource("", plural), namespace, name)]

    def delete_at(self, plural: str, name: str, when: float) -> None:
        found = self.objects[Ref(Resource("", plural), "ci", name)]
        found["metadata"]["deleted"] = when

    def find(self, ref: Ref) -> Document | None:
        return self.objects.get(ref)

    def meta(self, ref: Ref) -> Meta | None:
        found = self.objects.get(ref)
        if found is None:
            return None
        deleted = found["metadata"].get("deleted")
        when = None if deleted is None else datetime.fromtimestamp(deleted, UTC)
        return Meta(name=ref.name, uid=found["metadata"]["uid"], deletion_timestamp=when)

    def request(self, spec: Document | None = None, name: str = "builder", **more: Any) -> Document:
        asked = {"spec": spec or {}, **more}
        return token_request.create(self.tokens, self.find, "ci", name, asked)


def claims(token: str) -> Document:
    payload = token.split(".")[1]
    return orjson.loads(base64.urlsafe_b64decode(payload + "=="))


def why(cluster: Cluster, token: str) -> str:
    with pytest.raises(InvalidToken) as raised:
        cluster.tokens.verify(token)
    return str(raised.value)


def test_a_token_has_upstreams_claims_and_names_its_bearer() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600, bound=[POD])
    assert claims(token) == {
        "aud": [ISSUER],
        "exp": NOW + 600,
        "iat": NOW,
        "iss": ISSUER,
        "jti": "jti-1",
        "kubernetes.io": {
            "namespace": "ci",
            "serviceaccount": {"name": "builder", "uid": "sa-1"},
            "pod": {"name": "web", "uid": "pod-1"},
        },
        "nbf": NOW,
        "sub": "system:serviceaccount:ci:builder",
    }
    user = cluster.tokens.verify(token).user
    assert user.name == "system:serviceaccount:ci:builder"
    assert user.uid == "sa-1"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:ci",
        "system:authenticated",
    )
    assert user.extra == {
        "authentication.kubernetes.io/credential-id": ("JTI=jti-1",),
        "authentication.kubernetes.io/pod-name": ("web",),
        "authentication.kubernetes.io/pod-uid": ("pod-1",),
    }


def test_a_token_ends_with_its_time_and_a_minute() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    cluster.time = NOW + 660
    cluster.tokens.verify(token)
    cluster.time = NOW + 661
    assert why(cluster, token) == "service account token has expired"
    cluster.time = NOW - 61
    assert why(cluster, token) == "service account token is not valid yet"
    cluster.time = NOW - 60
    cluster.tokens.verify(token)


@pytest.mark.parametrize(
    ("bound", "plural"), [(POD, "pods"), (Bound("Secret", "bound", "secret-1"), "secrets")]
)
def test_a_token_ends_with_the_object_it_is_bound_to(bound: Bound, plural: str) -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600, bound=[bound])
    cluster.tokens.verify(token)
    cluster.put(plural, bound.name, "another")
    kind = bound.kind.lower()
    assert why(cluster, token) == (
        f"{kind} UID (another) does not match service account {kind} ref claim ({bound.uid})"
    )
    cluster.remove(plural, bound.name)
    assert why(cluster, token) == "service account token has been invalidated"


def test_a_token_bound_to_a_node_ends_with_the_node() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600, bound=[Bound("Node", "n1", "node-1")])
    assert cluster.tokens.verify(token).user.extra["authentication.kubernetes.io/node-name"] == (
        "n1",
    )
    cluster.remove("nodes", "n1", "")
    assert why(cluster, token) == "service account token has been invalidated"


def test_the_node_of_a_bound_pod_is_information_only() -> None:
    cluster = Cluster()
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "web"}
    token = cluster.request({"boundObjectRef": reference})["status"]["token"]
    cluster.remove("nodes", "n1", "")
    assert cluster.tokens.verify(token).user.extra["authentication.kubernetes.io/node-uid"] == (
        "node-1",
    )


def test_a_token_ends_with_its_account() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    cluster.delete_at("serviceaccounts", "builder", NOW - 60)
    cluster.tokens.verify(token)
    cluster.delete_at("serviceaccounts", "builder", NOW - 61)
    assert why(cluster, token) == "service account ci/builder has been deleted"
    cluster.put("serviceaccounts", "builder", "sa-2")
    assert why(cluster, token) == "service account UID (sa-2) does not match claim (sa-1)"
    cluster.remove("serviceaccounts", "builder")
    assert why(cluster, token) == 'serviceaccounts "builder" not found'


def test_a_token_is_good_for_its_audiences_only() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600, audiences=["vault", "other"])
    assert cluster.tokens.verify(token, ["vault"]).audiences == ("vault", "other")
    assert why(cluster, token) == (
        f'token audiences ["vault" "other"] is invalid for the target audiences ["{ISSUER}"]'
    )


def replaced(token: str, part: int, text: str) -> str:
    parts = token.split(".")
    parts[part] = text
    return ".".join(parts)


def text_of(document: Document) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def test_a_forged_token_is_refused() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    forged = {**claims(token), "sub": "system:serviceaccount:kube-system:root"}
    broken = "go-jose/go-jose: error in cryptographic primitive"
    assert why(cluster, replaced(token, 1, text_of(forged))) == broken
    assert why(cluster, replaced(token, 2, "")) == broken
    other = Tokens(
        [Key(new_key())],
        cluster.meta,
        wall=lambda: NOW,
        now=lambda: NOW,
        uid=lambda: "1",
    )
    assert why(cluster, other.issue("ci", ACCOUNT, seconds=600)) == broken


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "....", "e30.e30.", "W10.W10.x", "ü.ü.ü"]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert why(Cluster(), token) == ""


def test_a_token_of_another_issuer_or_algorithm_is_not_ours() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    other = {**claims(token), "iss": "https://elsewhere"}
    assert why(cluster, replaced(token, 1, text_of(other))) == ""
    assert why(cluster, replaced(token, 0, text_of({"alg": "none"}))) == ""
    assert why(cluster, token + "x" * 20_000) == ""


def test_an_older_key_still_verifies() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    rotated = Tokens(
        [Key(new_key()), KEY],
        cluster.meta,
        wall=lambda: NOW,
        now=lambda: NOW,
        uid=lambda: "1",
    )
    assert rotated.verify(token).user.name == "system:serviceaccount:ci:builder"
    assert len(rotated.keys_document()["keys"]) == 2


def test_the_cache_of_verified_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CACHE_SIZE > 100
    monkeypatch.setattr("steersman.api.access.tokens.CACHE_SIZE", 2)
    cluster = Cluster()
    kept = []
    for _ in range(5):
        cluster.tokens.verify(cluster.tokens.issue("ci", ACCOUNT, seconds=600))
        kept.append(len(cluster.tokens._verified))
    assert kept == [1, 2, 1, 2, 1]


def key_id() -> str:
    """Names the key as upstream's keyIDFromPublicKey does."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = KEY.private.public_key().public_bytes(serialization.Encoding.DER, form)
    return base64.urlsafe_b64encode(hashlib.sha256(public).digest()).rstrip(b"=").decode()


def test_the_published_key_is_the_one_in_the_header() -> None:
    cluster = Cluster()
    token = cluster.tokens.issue("ci", ACCOUNT, seconds=600)
    header = orjson.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    (key,) = cluster.tokens.keys_document()["keys"]
    assert header == {"alg": "ES256", "kid": key["kid"]}
    assert {name: key[name] for name in ("kty", "crv", "use", "alg")} == {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
    }
    assert len(key["x"]) == len(key["y"]) == 43
    assert key["kid"] == key_id()
    provider = cluster.tokens.provider_document("https://host/openid/v1/jwks")
    assert provider["issuer"] == ISSUER
    assert provider["jwks_uri"] == "https://host/openid/v1/jwks"


def test_a_token_request_answers_with_a_token_and_its_end() -> None:
    cluster = Cluster()
    answer = cluster.request()
    assert answer["kind"] == "TokenRequest"
    assert answer["apiVersion"] == "authentication.k8s.io/v1"
    named = {"name": "builder", "namespace": "ci", "uid": "sa-1"}
    made = {**named, "creationTimestamp": "2030-03-17T17:46:40Z"}
    assert answer["metadata"] == made
    labelled = cluster.request(metadata={"labels": {"a": "b"}})["metadata"]
    assert labelled == {**made, "labels": {"a": "b"}}
    assert answer["spec"]["expirationSeconds"] == 3600
    assert answer["spec"]["audiences"] == [ISSUER]
    assert answer["status"]["expirationTimestamp"] == "2030-03-17T18:46:40Z"
    assert cluster.tokens.verify(answer["status"]["token"])


def test_a_pods_default_token_lives_long_and_warns_early() -> None:
    cluster = Cluster()
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "pod-1"}
    of_secret = {"kind": "Secret", "apiVersion": "v1", "name": "bound", "uid": "secret-1"}
    answer = cluster.request({"boundObjectRef": reference, "expirationSeconds": 3607})
    found = claims(answer["status"]["token"])
    assert found["exp"] - found["iat"] == 365 * 24 * 3600
    assert found["kubernetes.io"]["warnafter"] == NOW + 3607
    assert found["kubernetes.io"]["node"] == {"name": "n1", "uid": "node-1"}
    assert answer["status"]["expirationTimestamp"] == "2030-03-17T18:46:47Z"
    for spec in (
        {"boundObjectRef": reference, "expirationSeconds": 3600},
        {"expirationSeconds": 3607},
        {"boundObjectRef": reference, "expirationSeconds": 3607, "audiences": ["x"]},
        {"boundObjectRef": of_secret, "expirationSeconds": 3607},
    ):
        found = claims(cluster.request(spec)["status"]["token"])
        assert found["exp"] - found["iat"] == spec["expirationSeconds"]
        assert "warnafter" not in found["kubernetes.io"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (599, "Invalid value: 599: may not specify a duration less than 10 minutes"),
        (
            2**32 + 1,
            "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
    ],
)
def test_a_token_request_out_of_bounds_is_invalid(seconds: int, text: str) -> None:
    with pytest.raises(Invalid) as raised:
        Cluster().request({"expirationSeconds": seconds})
    assert raised.value.causes[0].field == "spec.expirationSeconds"
    assert raised.value.causes[0].message == text
    assert raised.value.causes[0].reason == "FieldValueInvalid"
    for good in (600, 2**32):
        Cluster().request({"expirationSeconds": good})


def test_a_token_for_what_does_not_exist_is_not_found() -> None:
    cluster = Cluster()
    with pytest.raises(NotFound) as raised:
        cluster.request(name="nobody")
    assert raised.value.message == 'serviceaccounts "nobody" not found'
    with pytest.raises(NotFound):
        cluster.request({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}})


def test_a_token_binds_to_the_accounts_own_pods_only() -> None:
    cluster = Cluster()
    cluster.put("pods", "other", "pod-2", serviceAccountName="else")
    with pytest.raises(BadRequest) as raised:
        cluster.request({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "other"}})
    assert raised.value.message == (
        'cannot bind token for serviceaccount "builder" to pod running with different '
        "serviceaccount name."
    )


def test_a_token_binds_to_the_very_object_named() -> None:
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "bound", "uid": "old"}
    with pytest.raises(Conflict) as raised:
        Cluster().request({"boundObjectRef": reference})
    assert raised.value.message == (
        'Operation cannot be fulfilled on Secret "bound": the UID in the bound object reference '
        "(old) does not match the UID in record. The object might have been deleted and then "
        "recreated"
    )


def test_a_token_does_not_bind_to_other_kinds() -> None:
    with pytest.raises(BadRequest) as raised:
        Cluster().request({"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1"}})
    assert raised.value.message == "cannot bind token to object of type /v1, Kind=ConfigMap"
    other = {"kind": "Pod", "apiVersion": "example.com/v1", "name": "web", "uid": "pod-1"}
    with pytest.raises(BadRequest) as raised:
        Cluster().request({"boundObjectRef": other})
    assert raised.value.message == "cannot bind token to object of type example.com/v1, Kind=Pod"


WEBHOOKS = {
    "kind": "MutatingWebhookConfiguration",
    "apiVersion": "admissionregistration.k8s.io/v1",
    "name": "w",
}


def test_a_token_does_not_bind_to_webhooks_while_that_is_off() -> None:
    for group in ("apps", "*"):
        attested = {"admissionReviewAPIGroups": [group]}
        spec = {"boundObjectRef": WEBHOOKS, "audiences": ["https://h"], "attestations": attested}
        with pytest.raises(BadRequest) as raised:
            Cluster().request(spec)
        assert raised.value.message == (
            "cannot bind token to object of type admissionregistration.k8s.io/v1, "
            "Kind=MutatingWebhookConfiguration (feature gate APIServerWebhookAuthenticationToken "
            "is disabled)"
        )


ONE = "webhook bound requests require exactly one admissionReviewAPIGroups attestation"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"attestations": {"a": ["b"]}, "expirationSeconds": 1},
            [
                (
                    "spec.attestations",
                    'Invalid value: {"a":["b"]}: attestations may only be specified with a webhook '
                    "bound object reference",
                )
            ],
        ),
        (
            {"boundObjectRef": WEBHOOKS, "audiences": ["a", "b"]},
            [
                (
                    "spec.audiences",
                    'Invalid value: ["a","b"]: must be length 1 when bound to a webhook config',
                ),
                ("spec.attestations", f"Invalid value: {{}}: {ONE}"),
            ],
        ),
        (
            {"boundObjectRef": WEBHOOKS, "audiences": ["a"], "attestations": {"a": ["b"]}},
            [
                (
                    "spec.attestations[a]",
                    'Unsupported value: "a": supported values: "admissionReviewAPIGroups"',
                )
            ],
        ),
        (
            {
                "boundObjectRef": WEBHOOKS,
                "audiences": ["a"],
                "attestations": {"admissionReviewAPIGroups": []},
            },
            [
                (
                    "spec.attestations[admissionReviewAPIGroups]",
                    "Invalid value: []: must specify a single value",
                )
            ],
        ),
        (
            {
                "boundObjectRef": WEBHOOKS,
                "audiences": ["a"],
                "attestations": {"admissionReviewAPIGroups": [""]},
            },
            [
                (
                    "spec.attestations[admissionReviewAPIGroups][0]",
                    'Invalid value: "": may not be an empty string',
                )
            ],
        ),
    ],
)
def test_what_is_attested_goes_with_a_webhook(
    spec: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(Invalid) as raised:
        Cluster().request(spec)
    assert [(cause.field, cause.message) for cause in raised.value.causes] == expected


def test_a_group_that_is_attested_is_a_domain() -> None:
    attested = {"admissionReviewAPIGroups": ["A_B"]}
    spec = {"boundObjectRef": WEBHOOKS, "audiences": ["a"], "attestations": attested}
    with pytest.raises(Invalid) as raised:
        Cluster().request(spec)
    (cause,) = raised.value.causes
    told = 'Invalid value: "A_B": must specify a valid API Group: a lowercase RFC 1123 subdomain'
    assert cause.message.startswith(told)


def test_a_token_request_for_another_account_is_refused() -> None:
    cluster = Cluster()

    def ask(**metadata: str) -> Document:
        request = {"metadata": metadata}
        return token_request.create(cluster.tokens, cluster.find, "ci", "builder", request)

    with pytest.raises(Invalid) as raised:
        ask(name="other")
    assert raised.value.message == (
        'TokenRequest.authentication.k8s.io "builder" is invalid: metadata.name: Invalid value: '
        '"other": must match the service account name if specified'
    )
    with pytest.raises(BadRequest):
        ask(namespace="other")
    with pytest.raises(Conflict) as conflict:
        ask(uid="old")
    assert conflict.value.message == (
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "builder": the UID in '
        "the token request (old) does not match the UID of the service account (sa-1)"
    )
    made = ask(uid="sa-1")["metadata"]
    assert made == ask()["metadata"]
    assert made.pop("creationTimestamp").endswith("Z")
    assert made == {"name": "builder", "namespace": "ci", "uid": "sa-1"}


def test_no_certificate_library_is_loaded_before_the_first_token() -> None:
    code = (
        "import sys, steersman.api.access.authentication, steersman.api.access.token_request; "
        "sys.exit('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0
