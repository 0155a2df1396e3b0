"""What a claim uses of a quota (pkg/quota/v1/evaluator/core/persistent_volume_claims)."""

from __future__ import annotations

from typing import Final

from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.kinds.resourcequota import ScopeRequirement
from steersman.model.quantity import NANO, Quantity, parse
from steersman.model.quota.scopes import selects
from steersman.model.types.persistent_check import CLASS_ANNOTATION
from steersman.model.types.resources import Amounts

COUNT: Final = "count/persistentvolumeclaims"
_BY_CLASS: Final = ("persistentvolumeclaims", "requests.storage")
_OF_CLASS: Final = ".storageclass.storage.k8s.io/"
_SUFFIXES: Final = tuple(f"{_OF_CLASS}{name}" for name in _BY_CLASS)


def measures(name: str) -> bool:
    """Says whether a bound of this name is one on claims."""
    return name == COUNT or name in _BY_CLASS or name.endswith(_SUFFIXES)


def usage(claim: PersistentVolumeClaim) -> Amounts:
    """Returns what a claim uses: itself and its storage, each of its class too."""
    one = Quantity(NANO)
    used: Amounts = {"persistentvolumeclaims": one}
    if (storage := _storage(claim)) is not None:
        used["requests.storage"] = storage
    given = claim.metadata.annotations.get(CLASS_ANNOTATION)
    if name := given if given is not None else claim.spec.storage_class_name:
        used |= {f"{name}{_OF_CLASS}{what}": amount for what, amount in used.items()}
    return {COUNT: one, **used}


def _storage(claim: PersistentVolumeClaim) -> Quantity | None:
    """Returns the whole bytes asked for, or given already where that is more."""
    text = claim.spec.resources.requests.get("storage")
    if text is None:
        return None
    wanted, held = parse(text), claim.status.allocated_resources.get("storage")
    if held is not None and parse(held) > wanted:
        wanted = parse(held)
    return Quantity(wanted.value() * NANO, wanted.format) if wanted.nanos % NANO else wanted


def in_scope(requirement: ScopeRequirement, claim: PersistentVolumeClaim) -> bool:
    """Says whether a claim is in a scope: that of its volume attributes classes is the only one."""
    if requirement.scope_name != "VolumeAttributesClass":
        return False
    status = claim.status
    modified = status.modify_volume_status
    names = {
        claim.spec.volume_attributes_class_name,
        status.current_volume_attributes_class_name,
        modified.target_volume_attributes_class_name if modified else "",
    }
    return selects(requirement, [name for name in names if name])
