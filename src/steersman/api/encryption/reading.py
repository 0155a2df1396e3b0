"""What a client is told of objects that cannot be opened: upstream's error, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.api import keys
from steersman.api.call import Call
from steersman.model.errors import InternalError
from steersman.model.gotext import quote


def check(call: Call, unreadable: Mapping[str, str]) -> None:
    """Raises InternalError where a call is about an object that cannot be opened, or about many of
    which one cannot be (etcd3's store); its name is taken all the same."""
    resource = call.table.resource
    if call.attributes.verb == "create":
        return
    if call.name:
        if why := unreadable.get(keys.key_of(resource, call.namespace, call.name)):
            raise InternalError(f"Internal error occurred: {why}")
        return
    start = keys.prefix_of(resource, call.namespace)
    for key in sorted(unreadable):
        if key.startswith(start):
            shown = "/".join(part for part in keys.parse(key)[1:] if part)
            what = f"unable to transform key {quote(f'/registry/{resource.plural}/{shown}')}"
            raise InternalError(f"Internal error occurred: {what}: {unreadable[key]}")
