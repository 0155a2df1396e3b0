"""AdmissionReview: the question put to one webhook, and what its answer says. Pure.

Follows apiserver's webhook/request/admissionreview.go and webhook/errors/statuserror.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from steersman.model.errors import Cause, Denied
from steersman.model.gotext import quote
from steersman.model.kind import Document

_GROUP: Final = "admission.k8s.io"
NO_NOTES: Final[Mapping[str, str]] = {}


class Uncalled(Exception):
    """Why the answer of a webhook cannot be had or used; its failure policy decides. `code` is how
    that is counted."""

    def __init__(self, why: str, code: int = 400) -> None:
        super().__init__(why)
        self.code = code


class Answer(msgspec.Struct, frozen=True):
    """What a webhook says; `patch` is None where it changes nothing."""

    allowed: bool
    result: Document
    warnings: tuple[str, ...] = ()
    patch: Any = None
    notes: Mapping[str, str] = NO_NOTES


def render(version: str, uid: str, request: Document) -> Document:
    """Returns the review that is sent."""
    return {
        "kind": "AdmissionReview",
        "apiVersion": f"{_GROUP}/{version}",
        "request": {"uid": uid, **request},
    }


def parse(document: Any, version: str, uid: str, mutating: bool) -> Answer:
    """Returns the answer to a review; raises Uncalled."""
    review = document if isinstance(document, dict) else {}
    response = review.get("response")
    if not isinstance(response, dict):
        raise _invalid("webhook response was absent")
    if version == "v1":
        _check(review, response, uid)
    patch, kind = response.get("patch"), response.get("patchType")
    if mutating:
        patch = _patch(patch, kind, version)
    elif version == "v1":
        for is_there, name in ((bool(patch), "patch"), (kind is not None, "patchType")):
            if is_there:
                raise _invalid(f"validating webhook may not return response.{name}")
    result = response.get("status")
    warnings, notes = response.get("warnings"), response.get("auditAnnotations")
    return Answer(
        response.get("allowed") is True,
        result if isinstance(result, dict) else {},
        tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        patch if mutating else None,
        {key: str(value) for key, value in notes.items()} if isinstance(notes, dict) else NO_NOTES,
    )


def _check(review: Document, response: Document, uid: str) -> None:
    if response.get("uid") != uid:
        found = quote(str(response.get("uid") or ""))
        raise _invalid(f"expected response.uid={quote(uid)}, got {found}")
    wanted = f"{_GROUP}/v1, Kind=AdmissionReview"
    group, version = _group_version(str(review.get("apiVersion") or ""))
    got = f"{group}/{version}, Kind={review.get('kind') or ''}"
    if got != wanted:
        raise _invalid(f"expected webhook response of {wanted}, got {got}")


def _group_version(text: str) -> tuple[str, str]:
    """Returns the parts of an apiVersion, both empty where it is malformed (ParseGroupVersion)."""
    group, _slash, version = text.rpartition("/")
    return ("", "") if "/" in group else (group, version)


def _patch(patch: Any, kind: Any, version: str) -> Any:
    """Returns the operations of a patch, None where there are none."""
    if version == "v1beta1":  # which had but one type, and so need not name it
        kind = "JSONPatch" if patch else None
    if patch and kind is None:
        raise _invalid("webhook returned response.patch but not response.patchType")
    if not patch and kind is not None:
        raise _invalid("webhook returned response.patchType but not response.patch")
    if not patch:
        return None
    if not kind:
        raise _invalid('webhook returned invalid response.patchType of ""')
    if kind != "JSONPatch":
        raise Uncalled(f"unsupported patch type {quote(str(kind))}")
    try:
        return orjson.loads(base64.b64decode(patch, validate=True)) or None
    except (TypeError, ValueError, binascii.Error) as error:
        told = f"received undecodable patch in webhook response: {error}"
        raise Uncalled(told) from None


def _invalid(why: str) -> Uncalled:
    return Uncalled(f"received invalid webhook response: {why}")


def denied(name: str, result: Document) -> Denied:
    """Returns the error that tells a writer of a webhook's refusal."""
    by = f"admission webhook {quote(name)} denied the request"
    message, reason = str(result.get("message") or ""), str(result.get("reason") or "")
    told = message or reason
    text = f"{by}: {told}" if told else f"{by} without explanation"
    code = result.get("code")
    code = code if isinstance(code, int) and 400 <= code <= 599 else 400
    given = result.get("details")
    details = dict(given) if isinstance(given, dict) else {}
    causes = [
        Cause(*(str(one.get(key) or "") for key in ("reason", "message", "field")))
        for one in details.pop("causes", None) or ()
        if isinstance(one, dict)
    ]
    return Denied(text, code, reason, details=details, causes=causes)
