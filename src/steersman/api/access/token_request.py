"""The `token` subresource of a ServiceAccount: checks a TokenRequest and answers it.

Follows upstream's pkg/registry/core/serviceaccount/storage/token.go and the validation in
pkg/apis/authentication.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from steersman.api.access.authorization import quoted
from steersman.api.access.tokens import Bound, Tokens
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
    check_names(namespace, name, request)
    causes = check(spec)
    if causes:
        raise invalid(GROUP, "TokenRequest", "", causes)
    account = _find(find, "serviceaccounts", namespace, name)
    binding = _bind(find, namespace, name, spec.get("boundObjectRef"))
    audiences = tuple(spec.get("audiences") or tokens.audiences)
    seconds = spec["expirationSeconds"]
    extended = binding.to_pod and seconds == WARN_SECONDS and audiences == tokens.audiences
    expires = int(tokens.wall()) + seconds
    token = tokens.issue(
        namespace,
        Bound("ServiceAccount", name, account["metadata"]["uid"]),
        seconds=EXTENDED_SECONDS if extended else seconds,
        audiences=audiences,
        bound=binding.bounds,
        warn_after_seconds=seconds if extended else 0,
    )
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {**(request.get("metadata") or {}), "name": name, "namespace": namespace},
        "spec": {"boundObjectRef": None, **spec, "audiences": list(audiences)},
        "status": {"token": token, "expirationTimestamp": rfc3339(expires)},
    }


def check(spec: Document) -> list[Cause]:
    """Says what is wrong with a TokenRequest's spec."""
    seconds = spec["expirationSeconds"]
    if not isinstance(seconds, int):
        return []
    path = "spec.expirationSeconds"
    shown = f"Invalid value: {seconds}"
    if seconds < MIN_SECONDS:
        text = f"{shown}: may not specify a duration less than 10 minutes"
        return [Cause("FieldValueInvalid", text, path)]
    if seconds > MAX_SECONDS:
        text = f"{shown}: may not specify a duration larger than 2^32 seconds"
        return [Cause("FieldValueInvalid", text, path)]
    return []


def check_names(namespace: str, name: str, request: Document) -> None:
    """Refuses a request that names another account than its path; raises BadRequest."""
    metadata = request.get("metadata") or {}
    given = metadata.get("name") or name
    if given != name:
        text = f"metadata.name: Invalid value: {quoted(given)}: must match the service account name"
        raise BadRequest(text)
    if (metadata.get("namespace") or namespace) != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _given(spec: Any) -> Document:
    return {key: value for key, value in (spec or {}).items() if value is not None}


def _bind(find: Find, namespace: str, account: str, reference: Document | None) -> _Binding:
    if not reference:
        return _NOT_BOUND
    version, kind = reference.get("apiVersion", "v1"), reference.get("kind", "")
    if version != "v1" or kind not in ("Pod", "Secret", "Node"):
        group, _, short = version.rpartition("/")
        shown = f"{group}/{short}, Kind={kind}"
        raise BadRequest(f"cannot bind token to object of type {shown}")
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
