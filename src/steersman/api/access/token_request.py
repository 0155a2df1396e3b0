"""The `token` subresource of a ServiceAccount: checks a TokenRequest and answers it.

Follows upstream's pkg/registry/core/serviceaccount/storage/token.go and the validation in
pkg/apis/authentication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from steersman.api.access.authorization import quoted
from steersman.api.access.tokens import Bound, Tokens
from steersman.model import causes, names
from steersman.model.errors import BadRequest, Cause, conflict, invalid, not_found
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.model.times import rfc3339

GROUP = "authentication.k8s.io"
DEFAULT_SECONDS = 3600
MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
# A projected token of this very age is one of the default volume: it lives for a year beneath,
# and warns after an hour (KEP-1205, pkg/serviceaccount/claims.go)
WARN_SECONDS = 3607
EXTENDED_SECONDS = 365 * 24 * 3600
_API_GROUPS: Final = "admissionReviewAPIGroups"
_WEBHOOKS: Final = "admissionregistration.k8s.io/v1"
_CONFIGURATIONS: Final = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
# Which lets tokens be bound to those (KEP-6060); it is off
_GATE: Final = "APIServerWebhookAuthenticationToken"

Find = Callable[[Ref], Document | None]


class _Binding(NamedTuple):
    bounds: tuple[Bound, ...]
    to_pod: bool


_NOT_BOUND = _Binding((), False)


def create(tokens: Tokens, find: Find, namespace: str, name: str, request: Document) -> Document:
    """Answers a TokenRequest for one ServiceAccount; the argument is not changed.

    Raises Invalid, BadRequest, NotFound, Conflict.
    """
    spec = {"expirationSeconds": DEFAULT_SECONDS, **_given(request.get("spec"))}
    metadata = request.get("metadata") or {}
    check_names(namespace, name, metadata)
    uid = _find(find, "serviceaccounts", namespace, name)["metadata"]["uid"]
    _check_uid(name, metadata.get("uid") or uid, uid)
    audiences = tuple(spec.get("audiences") or tokens.audiences)
    spec["audiences"] = list(audiences)
    if found := list(check(spec)):
        raise invalid(GROUP, "TokenRequest", "", found)
    binding = _bind(find, namespace, name, spec.get("boundObjectRef"))
    seconds = spec["expirationSeconds"]
    extended = binding.to_pod and seconds == WARN_SECONDS and audiences == tokens.audiences
    now = int(tokens.wall())
    token = tokens.issue(
        namespace,
        Bound("ServiceAccount", name, uid),
        seconds=EXTENDED_SECONDS if extended else seconds,
        audiences=audiences,
        bound=binding.bounds,
        warn_after_seconds=seconds if extended else 0,
    )
    named = {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": rfc3339(now)}
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {**metadata, **named},
        "spec": {"boundObjectRef": None, **spec},
        "status": {"token": token, "expirationTimestamp": rfc3339(now + seconds)},
    }


def check(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with a TokenRequest's spec (ValidateTokenRequest)."""
    attested = spec.get("attestations") or {}
    bound = _is_of_webhook(spec.get("boundObjectRef") or {})
    if attested and not bound:  # said alone
        detail = "attestations may only be specified with a webhook bound object reference"
        yield causes.invalid("spec.attestations", attested, detail)
        return
    seconds, path = spec["expirationSeconds"], "spec.expirationSeconds"
    if seconds < MIN_SECONDS:
        yield causes.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > MAX_SECONDS:
        detail = "may not specify a duration larger than 2^32 seconds"
        yield causes.invalid(path, seconds, detail)
    if bound:
        if len(spec["audiences"]) != 1:
            detail = "must be length 1 when bound to a webhook config"
            yield causes.invalid("spec.audiences", spec["audiences"], detail)
        yield from _check_attested(attested, "spec.attestations")


def _check_attested(attested: Document, path: str) -> Iterator[Cause]:
    if len(attested) != 1:
        detail = f"webhook bound requests require exactly one {_API_GROUPS} attestation"
        yield causes.invalid(path, attested, detail)
        return
    ((key, values),) = attested.items()
    path = f"{path}[{key}]"
    if key != _API_GROUPS:
        yield causes.not_supported(path, key, (_API_GROUPS,))
    elif len(values) != 1:
        yield causes.invalid(path, values, "must specify a single value")
    elif not values[0]:
        yield causes.invalid(f"{path}[0]", values[0], "may not be an empty string")
    elif values[0] != "*":
        wrong = names.dns1123_subdomain(values[0])
        problems = [f"must specify a valid API Group: {problem}" for problem in wrong]
        yield from causes.each(f"{path}[0]", values[0], problems)


def _is_of_webhook(reference: Document) -> bool:
    return reference.get("apiVersion") == _WEBHOOKS and reference.get("kind") in _CONFIGURATIONS


def _check_uid(name: str, given: str, uid: str) -> None:
    if given != uid:
        why = f"the UID in the token request ({given}) does not match the UID of the "
        raise conflict(GROUP, "TokenRequest", name, f"{why}service account ({uid})")


def check_names(namespace: str, name: str, metadata: Document) -> None:
    """Refuses a request that names another account than its path; raises Invalid, BadRequest."""
    given = metadata.get("name") or name
    if given != name:
        detail = "must match the service account name if specified"
        wrong = causes.invalid("metadata.name", given, detail)
        raise invalid(GROUP, "TokenRequest", name, [wrong])
    if (metadata.get("namespace") or namespace) != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _given(spec: Any) -> Document:
    return {key: value for key, value in (spec or {}).items() if value is not None}


def _bind(find: Find, namespace: str, account: str, reference: Document | None) -> _Binding:
    if not reference:
        return _NOT_BOUND
    group, _, version = (reference.get("apiVersion") or "").rpartition("/")
    kind = reference.get("kind", "")
    if group or kind not in ("Pod", "Secret", "Node"):
        off = f" (feature gate {_GATE} is disabled)" if _is_of_webhook(reference) else ""
        told = f"cannot bind token to object of type {group}/{version}, Kind={kind}{off}"
        raise BadRequest(told)
    home = "" if kind == "Node" else namespace
    name = reference.get("name", "")
    found = _find(find, f"{kind.lower()}s", home, name)
    if kind == "Pod":
        _check_account(found, account)
    uid = found["metadata"]["uid"]
    if (wanted := reference.get("uid")) and wanted != uid:
        raise conflict(
            "",
            kind,
            name,
            f"the UID in the bound object reference ({wanted}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    bound = Bound(kind, name, uid)
    if kind != "Pod":
        return _Binding((bound,), False)
    return _Binding((bound, *_node_of(find, found)), True)


def _check_account(pod: Document, account: str) -> None:
    if pod["spec"].get("serviceAccountName") != account:
        raise BadRequest(
            f"cannot bind token for serviceaccount {quoted(account)} to pod running with "
            "different serviceaccount name."
        )


def _node_of(find: Find, pod: Document) -> tuple[Bound, ...]:
    name = pod["spec"].get("nodeName")
    if not name:
        return ()
    node = find(Ref(Resource("", "nodes"), "", name))
    return (Bound("Node", name, node["metadata"]["uid"] if node else ""),)


def _find(find: Find, plural: str, namespace: str, name: str) -> Document:
    found = find(Ref(Resource("", plural), namespace, name))
    if found is None:
        raise not_found("", plural, name)
    return found
