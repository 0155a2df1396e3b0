"""Why a claim has no volume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from steersman.explain.cause import Cause, bounded
from steersman.explain.objects import Objects, about, name_of, namespace_of
from steersman.model import quantity
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.printing import at
from steersman.model.kinds.storageclass import STORAGECLASS

NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_FAILED: Final = ("ProvisioningFailed", "FailedBinding", "VolumeMismatch")


def of_claim(objects: Objects, claim: Document) -> Cause:
    """Returns what is the matter with a claim."""
    name = about(PERSISTENTVOLUMECLAIM, name_of(claim))
    phase = at(claim, "status", "phase") or "Pending"
    volume = at(claim, "spec", "volumeName") or ""
    if phase == "Bound":
        return Cause(name, f"is bound to {volume}", sound=True)
    if phase == "Lost":
        return Cause(
            name,
            f"has lost its volume {volume}, which does not exist any more",
            helps=("its data are gone: delete the claim, and make it anew",),
        )
    if volume:
        return _of_named(objects, claim, name, volume)
    wanted = at(claim, "spec", "storageClassName")
    if wanted is None and not _default_class(objects):
        return Cause(
            name,
            "names no storage class, and there is no default one",
            helps=("name a class, or mark one as the default",),
        )
    if not wanted:
        return _of_volumes(objects, claim, name)
    found = objects.get(STORAGECLASS, "", str(wanted))
    if found is None:
        known = ", ".join(name_of(it) for it in objects.all(STORAGECLASS)) or "none"
        return Cause(
            name,
            f"names the storage class {wanted!r}, which does not exist",
            details=(f"there are: {known}",),
            helps=("create the class; a claim's class cannot be changed",),
        )
    return _of_class(objects, claim, name, found)


def _default_class(objects: Objects) -> bool:
    return any(
        (at(it, "metadata", "annotations") or {}).get(DEFAULT_CLASS) == "true"
        for it in objects.all(STORAGECLASS)
    )


def _of_named(objects: Objects, claim: Document, name: str, volume: str) -> Cause:
    found = objects.get(PERSISTENTVOLUME, "", volume)
    if found is None:
        return Cause(name, f"names the volume {volume}, which does not exist")
    holder = at(found, "spec", "claimRef") or {}
    own = (namespace_of(claim), name_of(claim))
    if holder and (holder.get("namespace"), holder.get("name")) != own:
        other = f"{holder.get('namespace')}/{holder.get('name')}"
        return Cause(name, f"names the volume {volume}, which the claim {other} has")
    return Cause(name, f"waits to be bound to {volume}", details=objects.told(claim, *_FAILED))


def _of_class(objects: Objects, claim: Document, name: str, found: Document) -> Cause:
    class_name, provisioner = name_of(found), str(found.get("provisioner", ""))
    waits = found.get("volumeBindingMode") == "WaitForFirstConsumer"
    users = [name_of(pod) for pod in users_of(objects, claim)]
    if waits and not users:
        return Cause(
            name,
            f"waits for a pod that uses it: its class {class_name} binds no sooner",
            helps=("create such a pod",),
        )
    if provisioner == NO_PROVISIONER:
        return _of_volumes(objects, claim, name)
    told = objects.told(claim, *_FAILED)
    finding = f"has no volume yet from {provisioner}, the provisioner of its class {class_name}"
    if waits:
        told = (*told, f"it is used by {', '.join(bounded(users, 'pods'))}")
    return Cause(
        name,
        finding,
        details=told,
        helps=(f"see whether {provisioner} runs and what it logs",),
    )


def claims_of(pod: Document) -> Iterable[str]:
    """Yields the names of the claims that a pod uses."""
    for volume in at(pod, "spec", "volumes") or ():
        if (named := at(volume, "persistentVolumeClaim", "claimName")) is not None:
            yield str(named)
        elif "ephemeral" in volume:
            yield f"{name_of(pod)}-{volume.get('name')}"


def users_of(objects: Objects, claim: Document) -> list[Document]:
    """Returns the pods that use a claim."""
    pods = objects.all(POD, namespace_of(claim))
    return [pod for pod in pods if name_of(claim) in claims_of(pod)]


def _of_volumes(objects: Objects, claim: Document, name: str) -> Cause:
    """Says why none of the volumes that are there will do."""
    wanted = at(claim, "spec", "storageClassName") or ""
    reasons = [
        f"{name_of(it)}: {why}"
        for it in objects.all(PERSISTENTVOLUME)
        if (why := _unfit(it, claim, wanted))
    ]
    return Cause(
        name,
        "is made by nobody, and no volume that is there will do",
        details=bounded(reasons, "volumes") or ("there are no volumes",),
        helps=("create a PersistentVolume with its class, access modes and size",),
    )


def _unfit(volume: Document, claim: Document, wanted: str) -> str:
    """Returns why a volume is not for a claim, empty where it could be."""
    if (at(volume, "spec", "storageClassName") or "") != wanted:
        return f"its class is {at(volume, 'spec', 'storageClassName') or 'empty'!r}"
    if holder := at(volume, "spec", "claimRef"):
        return f"the claim {holder.get('namespace')}/{holder.get('name')} has it"
    modes = set(at(volume, "spec", "accessModes") or ())
    missing = [mode for mode in at(claim, "spec", "accessModes") or () if mode not in modes]
    if missing:
        return f"it does not offer {', '.join(missing)}"
    return "".join(_size(volume, claim))


def _size(volume: Document, claim: Document) -> Iterable[str]:
    has = at(volume, "spec", "capacity", "storage") or "0"
    asks = at(claim, "spec", "resources", "requests", "storage") or "0"
    if quantity.parse(has) < quantity.parse(asks):
        yield f"it holds {has}, {asks} are asked for"
