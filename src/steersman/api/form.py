"""How a stored object becomes the bytes of one served version: splices, never a decode, where the
version is the stored one.

A stored value begins with its kind and apiVersion and then its metadata, without resourceVersion;
what is served has the revision spliced in right there.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import orjson

from steersman.api.cache import Entry
from steersman.model.kind import Document, Kind

# Converted documents kept, over all kinds that are served in a version other than the stored one
CONVERTED_KEPT = 512


def encode(document: Document) -> bytes:
    """Returns a document as compact bytes of their own size (orjson's buffer is larger)."""
    return bytes(memoryview(orjson.dumps(document)))


class Form:
    """The encoding of one kind in one served version."""

    def __init__(self, kind: Kind, version: str) -> None:
        self.kind = kind
        self.version = version
        self.api_version = kind.api_version(version)
        self._head = _head(kind.name, self.api_version)
        self._stored_head = _head(kind.name, kind.stored_api_version)
        self._skip = len(self._stored_head)
        found = kind.version(version)
        assert found is not None, f"{kind.name} is not served in {version}"
        self.served = found
        self._from_storage = found.from_storage
        self.converts = found.from_storage is not None
        self._same = version == kind.storage and self._from_storage is None
        self._shape = found.shape
        self._fresh = found.fresh
        self.events_sent = 0  # to watches in this version
        self._converted: OrderedDict[tuple[str, str, int], tuple[bytes, bytes]] = OrderedDict()

    def object(self, entry: Entry) -> bytes:
        """Returns the object; one of no revision (a dry run) has none."""
        if not entry.revision:
            return self._head + self._tail(entry)
        return b'%b"resourceVersion":"%d",%b' % (self._head, entry.revision, self._tail(entry))

    def item(self, entry: Entry) -> bytes:
        """Returns the object as it stands in a list, where kind and version are left out."""
        return b'{"metadata":{"resourceVersion":"%d",%b' % (entry.revision, self._tail(entry))

    def document(self, entry: Entry) -> Document:
        """Returns the object as a fresh document in this version, with its resourceVersion."""
        document: Document = orjson.loads(self.object(entry))
        return document

    def parsed(self, entry: Entry) -> Document:
        """Returns the object as a fresh document, without a revision, in the version in which it
        is changed and checked: the stored one, or where this version has a shape, this one."""
        document = entry.document()
        return document if self._shape is None else self._shape.parse(document)

    def stored(self, document: Document) -> bytes:
        """Returns the stored bytes of a document that is in the version of `parsed`."""
        document = self.without_revision(document)
        if self._shape is not None:
            document = self._shape.store(document)
        metadata = document["metadata"]
        head = {"kind": self.kind.name, "apiVersion": self.kind.stored_api_version}
        return encode({**head, "metadata": metadata, **_rest(document)})

    def joined(self, metadata: Document, rest: bytes) -> bytes:
        """Returns the stored bytes of an object whose bytes behind its metadata are known."""
        return self._stored_head + orjson.dumps(metadata)[1:] + rest

    def _tail(self, entry: Entry) -> bytes:
        if self.is_current(entry):
            return entry.value[self._skip :]
        key = (entry.namespace, entry.name, entry.revision)
        found = self._converted.get(key)
        if found is None or found[0] is not entry.value:  # a dry run's has the same revision
            found = self._converted[key] = (entry.value, self._convert(entry))
            if len(self._converted) > CONVERTED_KEPT:
                self._converted.popitem(last=False)
        return found[1]

    def is_current(self, entry: Entry) -> bool:
        """Says whether an entry is shown as it is stored."""
        return self._same and self._is_fresh(entry)

    @staticmethod
    def without_revision(document: Document) -> Document:
        """Returns a document as it is stored: its revision is not."""
        metadata = dict(document["metadata"])
        metadata.pop("resourceVersion", None)
        return {**document, "metadata": metadata}

    def _is_fresh(self, entry: Entry) -> bool:
        """Says whether a stored object is what it would be if it were written now: it is of the
        stored version, and the shape has not changed since."""
        if self._shape is None:
            return True
        return entry.revision > self._fresh and entry.value.startswith(self._head)

    def _convert(self, entry: Entry) -> bytes:
        document = self.parsed(entry)
        if self._from_storage is not None:
            document = self._from_storage(document)
        head = {"kind": self.kind.name, "apiVersion": self.api_version}
        whole = encode({**head, "metadata": document["metadata"], **_rest(document)})
        return whole[len(self._head) :]


def _rest(document: Document) -> dict[str, Any]:
    heads = ("kind", "apiVersion", "metadata")
    return {key: value for key, value in document.items() if key not in heads}


def _head(kind: str, api_version: str) -> bytes:
    return b'{"kind":"%b","apiVersion":"%b","metadata":{' % (kind.encode(), api_version.encode())
