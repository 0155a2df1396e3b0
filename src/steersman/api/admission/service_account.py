"""ServiceAccount: pods run as an account that exists, with its token mounted.

Follows plugin/pkg/admission/serviceaccount: default account, the projected volume
`kube-api-access-*`, image pull secrets, and the limits on mirror pods.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from steersman.api.access.pod_references import MIRROR, named_by_document
from steersman.api.admission.chain import Change
from steersman.api.admission.plugins.plain import is_pod
from steersman.api.cache import Cache, Entry
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.world.interface import World

SERVICE_ACCOUNTS = Resource("", "serviceaccounts")
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
SECRETS = "imagePullSecrets"
# A little over an hour (WarnOnlyBoundTokenExpirationSeconds); the node renews it long before
TOKEN_SECONDS = 3607
# Accounts kept as documents; all are forgotten beyond, since a cluster uses few at a time
MOST_READ = 1024


# What the name of a token's volume begins with (upstream's ServiceAccountVolumeName)
VOLUME = "kube-api-access-"


class Account(msgspec.Struct, frozen=True):
    """An account at one revision; its token's volume has one name in all of its pods, so that pods
    of one template stay equal."""

    revision: int
    document: Document
    volume: str


class ServiceAccount:
    """See the module."""

    name = "ServiceAccount"
    about = frozenset({"Pod"})

    def __init__(self, cache: Cache, world: World) -> None:
        self._accounts = cache.table(SERVICE_ACCOUNTS)
        self._world = world
        self._read: dict[tuple[str, str], Account] = {}

    def admit(self, change: Change) -> Document | None:
        """Gives a new pod its account and its token."""
        call = change.call
        if change.operation != "CREATE" or not is_pod(change):
            return None
        assert change.new is not None
        pod = change.new
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            return None
        spec = dict(pod.get("spec") or {})
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        entry = self._accounts.get(call.namespace, name)
        if entry is None:
            pod_name = pod["metadata"].get("name", "")
            why = (
                f"error looking up service account {call.namespace}/{name}: "
                f'serviceaccount "{name}" not found'
            )
            raise errors.forbidden("", "pods", pod_name, why)
        account = self._account(entry)
        if "imagePullSecrets" not in spec and (secrets := account.document.get(SECRETS)):
            spec["imagePullSecrets"] = secrets
        if _mounts(spec, account.document):
            spec = _with_token(spec, account.volume)
        return {**pod, "spec": spec}

    def _account(self, entry: Entry) -> Account:
        """Returns an account, read once for each of its revisions."""
        key = (entry.namespace, entry.name)
        known = self._read.get(key)
        if known is None or known.revision != entry.revision:
            if len(self._read) >= MOST_READ:
                self._read.clear()
            volume = f"{VOLUME}{self._world.suffix()}"
            known = self._read[key] = Account(entry.revision, entry.document(), volume)
        return known

    def check(self, change: Change) -> None:
        """Refuses mirror pods that reference secrets or accounts of the cluster."""
        if change.operation != "CREATE" or not is_pod(change):
            return
        assert change.new is not None
        pod = change.new
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            return
        name, spec = pod["metadata"].get("name", ""), pod.get("spec") or {}
        if spec.get("serviceAccountName"):
            why = "a mirror pod may not reference service accounts"
            raise errors.forbidden("", "pods", name, why)
        if any(found.plural == "secrets" for found in named_by_document(pod)):
            raise errors.forbidden("", "pods", name, "a mirror pod may not reference secrets")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the accounts, and on whether the pod is a mirror."""
        return None if MIRROR in (meta.get("annotations") or ()) else self._accounts.revision


def _with_token(spec: dict[str, Any], volume: str) -> dict[str, Any]:
    """Returns the spec with the token's volume in every container that mounts nothing there; one
    that has such a volume keeps it (admission may run twice)."""
    names = [one.get("name") or "" for one in spec.get("volumes") or ()]
    present = [name for name in names if name.startswith(VOLUME)]
    volume = present[0] if present else volume
    mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
    used = False
    for field in ("initContainers", "containers"):
        if field not in spec:
            continue
        containers = []
        for container in spec[field]:
            mounts = container.get("volumeMounts") or []
            if all(found.get("mountPath") != MOUNT_PATH for found in mounts):
                container = {**container, "volumeMounts": [*mounts, mount]}
                used = True
            containers.append(container)
        spec[field] = containers
    if used and not present:
        spec["volumes"] = [*(spec.get("volumes") or ()), token_volume(volume)]
    return spec


def _mounts(spec: dict[str, Any], account: Document) -> bool:
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    return wanted is not False


def token_volume(name: str) -> Document:
    """Returns the projected volume of token, root certificate and namespace."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": 420}}
