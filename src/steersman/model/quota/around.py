"""What the usage of a claim on devices rests on beside the claim: device classes, the pod for which
it was made, and other claims of that pod."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from steersman.model.kinds.deviceclass import DeviceClass
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import ResourceClaim


class Around(msgspec.Struct, frozen=True):
    """Ways to look things up: a class by its name, a pod by namespace and name, and the claims of a
    namespace that were made for extended resources."""

    device_class: Callable[[str], DeviceClass | None]
    pod: Callable[[str, str], Pod | None]
    extended_claims: Callable[[str], Iterable[ResourceClaim]]


ALONE = Around(lambda _name: None, lambda _namespace, _name: None, lambda _namespace: ())
