"""Objects made from one template differ in their metadata alone: what the rest of a new object
comes to is remembered by the bytes in which it was sent.

A pod of a known template costs the reading, checking and encoding of its metadata. Nothing is
remembered that has not gone the whole way of a write, nor where putting it together from its parts
does not give the very bytes that were stored.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from steersman.api import body, metadata, owners
from steersman.api.admission.chain import Chain
from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.form import Form
from steersman.model import decode, names
from steersman.model.fields.shapes import shape_of
from steersman.model.fields.structure import structure_of
from steersman.model.kind import Document
from steersman.model.types.pod_annotation_check import is_read
from steersman.wire.json import may_repeat

# Templates kept; a cluster has some hundred workloads, of which a few are made at one time
MOST_TEMPLATES: Final = 256
# What makes the rest of an object depend on its metadata: values of labels in its selectors
_LABEL_KEYS: Final = b"atchLabelKeys"
# What makes its metadata depend on another object: labels of its node
_NODE_NAME: Final = b'"nodeName"'
# Longer bodies are rare, and two copies of each are kept: 16 MiB at the very most
MOST_BYTES: Final = 16 * 1024
OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class _Cut(msgspec.Struct, frozen=True):
    metadata: msgspec.Raw


_cut = msgspec.json.Decoder(_Cut)


class Template(NamedTuple):
    """What all objects of a template share: the writer's entry of managedFields up to its time,
    and what is stored behind the metadata."""

    owned: bytes
    rest: bytes

    def object(self, form: Form, meta: Document, time: str) -> bytes:
        """Returns the stored bytes of an object of this template."""
        entry = b'%b,"time":"%b"}' % (self.owned, time.encode())
        return form.joined({**meta, "managedFields": [orjson.Fragment(entry)]}, self.rest)


class Key(NamedTuple):
    """What everything about a creation beside its metadata is known by.

    before, behind: the body around the metadata
    rests_on:       what else admission looks at
    shape:          of the metadata; it decides, with the rest, what the writer owns
    """

    form: Form
    manager: str
    query: str
    before: bytes
    behind: bytes
    rests_on: Hashable
    shape: tuple[Any, ...]


class Sent(NamedTuple):
    """A creation, cut in two: its metadata, decoded, and what stands for all the rest."""

    metadata: Document
    key: Key


class Templates:
    """The templates met lately; the older half goes when there are too many."""

    def __init__(self) -> None:
        self._known: dict[Key, Template] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, sent: Sent) -> Template | None:
        """Returns the template that an object is of, None where it is not known."""
        return self._known.get(sent.key)

    def learn(self, call: Call, sent: Sent, entry: Entry) -> None:
        """Remembers the template of an object that was stored."""
        template = _template(call, sent, entry)
        if template is None:
            return
        if len(self._known) >= MOST_TEMPLATES:
            for old in list(self._known)[: MOST_TEMPLATES // 2]:
                del self._known[old]
        self._known[sent.key] = template


def read(call: Call, chain: Chain) -> Sent | None:
    """Cuts a body in two; None where there is anything odd about it, which is for others to say."""
    request = call.request
    if len(request.body) > MOST_BYTES or body.media_type(request) != "application/json":
        return None
    try:
        raw = bytes(_cut.decode(request.body).metadata)
        meta = orjson.loads(raw)
    except (msgspec.DecodeError, orjson.JSONDecodeError):
        return None
    if not decode.takes(OBJECT_META, meta) or "managedFields" in meta or may_repeat(raw, meta):
        return None
    if any(map(is_read, meta.get("annotations") or ())):
        return None
    if (rests_on := chain.rests_on(call, meta)) is None or _is_odd_name(meta):
        return None
    before, behind = _around(request.body, raw)
    shape = shape_of(meta, structure_of(owners.node_of(call)).child("metadata"))
    try:
        hash(shape)
    except TypeError:  # the key of a list item is no plain value
        return None
    manager = owners.manager_of(call)
    return Sent(meta, Key(call.form, manager, request.query, before, behind, rests_on, shape))


def _is_odd_name(meta: Document) -> bool:
    """Tells whether a name is one of which its writer is told something."""
    given = meta.get("name") or names.without_trailing_dash(meta.get("generateName") or "")
    return bool(given and names.dns1123_label(given))


def _around(whole: bytes, raw: bytes) -> tuple[bytes, bytes]:
    """Returns what stands before and behind the metadata: probably where the name first comes."""
    start = whole.find(b"{", whole.find(b'"metadata"'))
    if not whole.startswith(raw, start):
        start = whole.index(raw)
    return whole[:start], whole[start + len(raw) :]


def _template(call: Call, sent: Sent, entry: Entry) -> Template | None:
    """Returns what a stored object shares with its like, None where it cannot be taken apart."""
    raw = bytes(_cut.decode(entry.value).metadata)
    stored = orjson.loads(raw)
    entries = stored.get("managedFields") or []
    if len(entries) != 1 or not _is_whole(call, sent):
        return None
    if _LABEL_KEYS in entry.value or _NODE_NAME in entry.value:
        return None
    owned = {name: value for name, value in entries[0].items() if name != "time"}
    template = Template(orjson.dumps(owned)[:-1], entry.value.partition(raw)[2])
    given = {"metadata": sent.metadata}
    meta = metadata.begin(given, call.kind, call.namespace, stored["uid"], 0)
    meta |= {name: stored[name] for name in ("name", "creationTimestamp")}
    same = template.object(call.form, meta, entries[0].get("time", "")) == entry.value
    return template if same else None


def _is_whole(call: Call, sent: Sent) -> bool:
    """Says whether the metadata that was cut out is all that there is: a name may come twice."""
    without = orjson.loads(b"%b{}%b" % (sent.key.before, sent.key.behind))
    return isinstance(without, dict) and without.get("metadata") == {}
