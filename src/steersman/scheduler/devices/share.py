"""How much of a device one allocation takes: its capacities, asked for and rounded up as the
device's policy has it (structured/internal/experimental/consumable_capacity.go, KEP-5075). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.kinds.resourceslice import Amount, Device, DeviceCapacity, RequestPolicy
from steersman.model.quantity import parse
from steersman.model.types.device import CapacityRequirements
from steersman.scheduler.devices.stock import nanos

Share = Mapping[str, int]


def has_enough(device: Device, wanted: CapacityRequirements) -> bool:
    """Tells whether a device that nobody shares has as much as is asked for."""
    return all(
        name in device.capacity and nanos(amount) <= nanos(device.capacity[name].value)
        for name, amount in wanted.requests.items()
    )


def share_of(device: Device, wanted: CapacityRequirements, used: Share) -> Share | None:
    """Returns what one more allocation of a shared device takes, in nanos; None where that is not
    free, or not allowed."""
    if not all(name in device.capacity for name in wanted.requests):
        return None
    share: dict[str, int] = {}
    for name, capacity in device.capacity.items():
        amount = _taken(capacity, wanted.requests.get(name))
        if amount is None or used.get(name, 0) + amount > nanos(capacity.value):
            return None
        share[name] = amount
    return share


def _taken(capacity: DeviceCapacity, wanted: Amount | None) -> int | None:
    policy = capacity.request_policy
    if wanted is None:
        default = None if policy is None else policy.default
        return nanos(capacity.value if default is None else default)
    amount = nanos(wanted)
    return amount if policy is None else _rounded(amount, policy)


def _rounded(amount: int, policy: RequestPolicy) -> int | None:
    """Returns the least amount that a policy allows and that is enough; None for none."""
    if policy.valid_values:
        options = sorted(nanos(value) for value in policy.valid_values)
        return next((option for option in options if option >= amount), None)
    if (bounds := policy.valid_range) is None:
        return amount
    least = nanos(bounds.min) if bounds.min is not None else 0
    if amount < least:
        amount = least
    elif bounds.step is not None and (step := parse(bounds.step).nanos) > 0:
        amount = least - (least - amount) // step * step
    if bounds.max is not None and amount > nanos(bounds.max):
        return None
    return amount
