"""AlwaysPullImages: who runs an image must be able to pull it (plugin/pkg/admission/
alwayspullimages)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import is_pod, refused, spec_of
from steersman.model.gotext import quote
from steersman.model.kind import Document

ALWAYS: Final = "Always"
CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


def containers(spec: Document) -> Iterator[tuple[str, Document]]:
    """Yields all containers of a pod, with their paths."""
    for field in CONTAINERS:
        for index, one in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", one


def images(spec: Document) -> set[str]:
    """Returns the images of all containers of a pod."""
    return {one.get("image", "") for _, one in containers(spec)}


class AlwaysPullImages(Plugin):
    """See the module. An update that brings no new image is left alone."""

    name = "AlwaysPullImages"
    about = frozenset({"Pod"})

    def admit(self, change: Change) -> Document | None:
        """Has all images pulled, those of volumes too."""
        if not _brings_images(change):
            return None
        assert change.new is not None
        spec = dict(spec_of(change.new))
        for field in CONTAINERS:
            if spec.get(field):
                spec[field] = [{**one, "imagePullPolicy": ALWAYS} for one in spec[field]]
        if spec.get("volumes"):
            spec["volumes"] = [_pulled(volume) for volume in spec["volumes"]]
        return {**change.new, "spec": spec}

    def check(self, change: Change) -> None:
        """Refuses what somebody changed since."""
        if not _brings_images(change):
            return
        wrong = [
            f"{path}.imagePullPolicy: Unsupported value: {quote(one.get('imagePullPolicy', ''))}: "
            f'supported values: "{ALWAYS}"'
            for path, one in containers(spec_of(change.new))
            if one.get("imagePullPolicy") != ALWAYS
        ]
        if wrong:
            raise refused(change, wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")


def _brings_images(change: Change) -> bool:
    if not is_pod(change) or change.operation not in ("CREATE", "UPDATE"):
        return False
    return change.old is None or not images(spec_of(change.new)) <= images(spec_of(change.old))


def _pulled(volume: Document) -> Document:
    if "image" not in volume:
        return volume
    return {**volume, "image": {**volume["image"], "pullPolicy": ALWAYS}}
