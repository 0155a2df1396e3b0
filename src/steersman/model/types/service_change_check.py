"""What an update of a Service's spec may not change (ValidateServiceUpdate in
pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model.causes import forbidden, invalid
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.service_check import is_headless, needs_health_check

_FIXED: Final = "may not change once set"


def check_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update of a Service's spec changes and may not."""
    if "ExternalName" not in (new.get("type"), old.get("type")):
        yield from _check_addresses(new, old)
        yield from _check_families(new, old)
    name = "loadBalancerClass"
    if new.get("type") == old.get("type") == "LoadBalancer" and new.get(name) != old.get(name):
        yield invalid(f"spec.{name}", new.get(name), _FIXED)
    name = "healthCheckNodePort"
    if needs_health_check(new) and needs_health_check(old) and new.get(name) != old.get(name):
        yield forbidden(f"spec.{name}", "field is immutable")


def _check_addresses(new: Document, old: Document) -> Iterator[Cause]:
    """Checks addresses, of which only the second may come and go
    (validateUpgradeDowngradeClusterIPs)."""
    if is_headless(new) and is_headless(old):
        return
    now, then = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    path = "spec.clusterIPs"
    if len(now) == len(then):
        for index, (address, before) in enumerate(zip(now, then, strict=True)):
            if address != before:
                yield invalid(f"{path}[{index}]", now, _FIXED)
        return
    if then and not now:
        yield invalid(f"{path}[0]", None, "primary clusterIP can not be unset")
    elif then and now[0] != then[0]:
        yield invalid(f"{path}[0]", now, _FIXED)
    if len(then) > len(now) == 1:
        yield from _check_policy(new, "clusterIP")


def _check_families(new: Document, old: Document) -> Iterator[Cause]:
    """Checks families in the same way (validateUpgradeDowngradeIPFamilies, which shows addresses
    where the number of families changes)."""
    if is_headless(new) or is_headless(old):
        return
    now, then = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    path, addresses = "spec.ipFamilies[0]", new.get("clusterIPs")
    if len(now) == len(then):
        for family, before in zip(now, then, strict=True):
            if family != before:
                yield invalid(path, now, _FIXED)
        return
    if len(then) > len(now) and not addresses:
        yield invalid(path, now or None, "primary ipFamily can not be unset")
    if now and then and now[0] != then[0]:
        yield invalid(path, addresses, _FIXED)
    if len(then) > len(now) == 1:
        yield from _check_policy(new, "ipFamily")


def _check_policy(new: Document, what: str) -> Iterator[Cause]:
    if (policy := new.get("ipFamilyPolicy")) != "SingleStack":
        detail = f"must be set to 'SingleStack' when releasing the secondary {what}"
        yield invalid("spec.ipFamilyPolicy", policy, detail)
