"""Secret: its view and its life in the API."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping

import msgspec

from steersman.model import names
from steersman.model.causes import each, immutable, invalid, required, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.configmap import MOST_BYTES, check_unchanged, decoded_bytes
from steersman.model.kinds.prepare import preparer, without
from steersman.model.kinds.printing import AGE, NAME, count, text
from steersman.model.types.key_pair import pair_problem
from steersman.model.types.metadata import check_metadata
from steersman.model.types.warnings import warner
from steersman.model.view import Object


class Secret(Object, frozen=True):
    """core/v1 Secret; data is decoded from base64."""

    data: Mapping[str, bytes] = {}
    type: str = ""
    immutable: bool = False


def _with_strings(new: Document, _old: Document | None) -> Document:
    # stringData is write-only (core/v1 conversion)
    strings = new.get("stringData")
    if strings is None:
        return new
    encoded = {key: b64encode(value.encode()).decode() for key, value in strings.items()}
    document = without(new, "stringData")
    return {**document, "data": {**(new.get("data") or {}), **encoded}} if encoded else document


_COLUMNS = (NAME, text("Type", "type"), Column("Data", count("data")), AGE)

_ACCOUNT = "kubernetes.io/service-account.name"
_TLS = "kubernetes.io/tls"
# type -> the keys that it must have
_REQUIRED = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    _TLS: ("tls.crt", "tls.key"),
}
_DOCKER = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
_REDACTED = "<secret contents redacted>"


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if old is not None:
        yield from immutable("type", new.get("type", ""), old.get("type", ""))
        if old.get("immutable"):
            yield from check_unchanged(new, old, "data")
    data = new.get("data") or {}
    total = 0
    for key, value in data.items():
        yield from each(f"data[{key}]", key, names.config_map_key(key))
        total += decoded_bytes(value)
    if total > MOST_BYTES:
        yield too_long("data", MOST_BYTES)
    yield from _check_type(new, data)


def _check_type(new: Document, data: Document) -> Iterator[Cause]:
    kind = new.get("type", "")
    if kind == "kubernetes.io/service-account-token":
        annotations = (new.get("metadata") or {}).get("annotations") or {}
        if not annotations.get(_ACCOUNT):
            yield required(f"metadata.annotations[{_ACCOUNT}]")
    if kind == "kubernetes.io/basic-auth":
        keys = ("username", "password")
        if not any(key in data for key in keys):
            yield from (required(f"data[{key}]") for key in keys)
    for key in _REQUIRED.get(kind, ()):
        empty = kind == "kubernetes.io/ssh-auth" and not data.get(key)
        if key not in data or empty:
            yield required(f"data[{key}]")
        elif kind in _DOCKER and (problem := _json_problem(data[key])):
            yield invalid(f"data[{key}]", _REDACTED, problem)


def _json_problem(encoded: str) -> str:
    try:
        msgspec.json.decode(b64decode(encoded), type=dict[str, object])
    except (msgspec.DecodeError, ValueError) as error:
        return str(error)
    return ""


def _told(new: Document, _old: Document | None) -> Iterator[str]:
    data = new.get("data") or {}
    if new.get("type") == _TLS:
        texts = (b64decode(data.get(key) or "").decode("latin-1") for key in _REQUIRED[_TLS])
        if problem := pair_problem(*texts):
            yield problem


SECRET = Kind(
    group="",
    name="Secret",
    plural="secrets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Secret"),),
    storage="v1",
    columns=_COLUMNS,
    check=_check,
    warn=warner(_told),
    view=Secret,
    prepare=preparer(_with_strings),
    selectable={"type": lambda secret: secret.get("type", "")},
    complete=True,
)
