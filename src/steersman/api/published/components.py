"""ComponentStatus: whether store, controllers and scheduler are at work, as this server sees it.

What runs in its own process is at work while it answers; what runs elsewhere holds a Lease. Follows
pkg/registry/core/componentstatus and rest/storage_core.go, which ask ports that are not there here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from steersman.api import present
from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.form import Form, encode
from steersman.model.errors import NotFound
from steersman.model.kind import Document
from steersman.model.kinds.lease import LEASE
from steersman.model.ref import Ref
from steersman.model.times import seconds_of
from steersman.store.interface import Record
from steersman.wire.message import Response
from steersman.world.interface import World

NAMESPACE: Final = "kube-system"
LEASED: Final[Mapping[str, str]] = {
    "scheduler": "kube-scheduler",
    "controller-manager": "kube-controller-manager",
}
STORE: Final = "etcd-0"
OK: Final = "ok"


class Components:
    """Answers get and list. `controls` says that controllers and scheduler are in this process."""

    def __init__(
        self, find: Callable[[Ref], Document | None], world: World, *, controls: bool
    ) -> None:
        self._find = find
        self._world = world
        self._controls = controls

    def handle(self, call: Call) -> Response:
        """Returns one component, or all; raises NotFound."""
        if call.name:
            return self._one(call)
        entries = [self._entry(call.form, name) for name in (*LEASED, STORE)]
        include = call.request.param("includeObject")
        if call.presentation.shape == "object":
            items = [_bare(entry) for entry in entries]
            head = {"kind": call.kind.list_kind, "apiVersion": call.form.api_version}
            return Response(orjson.dumps({**head, "metadata": {}, "items": items}))
        head_of, item = present.list_pieces(
            call.form, call.presentation, include, self._world.now()
        )
        return Response(head_of({}) + b",".join(map(item, entries)) + b"]}")

    def _one(self, call: Call) -> Response:
        if call.name not in (*LEASED, STORE):
            raise NotFound(f"Component not found: {call.name}")
        entry = self._entry(call.form, call.name)
        include = call.request.param("includeObject")
        shown = present.encoder(call.form, call.presentation, include, self._world.now())
        return Response(shown(entry))

    def _entry(self, form: Form, name: str) -> Entry:
        wrong = self._wrong(name)
        condition: Document = {"type": "Healthy", "status": "False" if wrong else "True"}
        condition |= {"error": wrong} if wrong else {"message": OK}
        head = {"kind": form.kind.name, "apiVersion": form.api_version}
        value = encode({**head, "metadata": {"name": name}, "conditions": [condition]})
        return Entry(Record("", value, 0, 0), value, "", name)

    def _wrong(self, name: str) -> str:
        """Returns why a component is not at work, empty where it is."""
        if name == STORE or self._controls:
            return ""
        lease = self._find(LEASE.ref(NAMESPACE, LEASED[name]))
        spec = (lease or {}).get("spec") or {}
        if not spec.get("holderIdentity") or not spec.get("renewTime"):
            return f"nobody holds the lease {NAMESPACE}/{LEASED[name]}"
        renewed = seconds_of(spec["renewTime"])
        if renewed + spec.get("leaseDurationSeconds", 0) < self._world.now():
            return f"the lease {NAMESPACE}/{LEASED[name]} has run out"
        return ""


def _bare(entry: Entry) -> dict[str, Any]:
    """Returns a component as it stands in a list."""
    found = entry.document()
    return {"metadata": found["metadata"], "conditions": found["conditions"]}
