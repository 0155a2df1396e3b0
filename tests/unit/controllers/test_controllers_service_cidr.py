"""ServiceCIDRs: ready, kept while addresses need them, and let go."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from views import NOW, decoded, time

from controlled import conditions, controlled
from served import SERVICES, Served, served, service
from steersman.controllers.service_cidr import (
    FINALIZER,
    ServiceCIDRController,
    contains,
    may_go,
    plan,
)
from steersman.model.kinds.servicecidr import SERVICECIDR, ServiceCIDR
from steersman.reconcile.actions import Patch

RANGES = "/apis/networking.k8s.io/v1/servicecidrs"
CONDITION = ("type", "status", "reason", "message")
READY = ("Ready", "True", "", "Kubernetes Service CIDR is ready")
HELD = (
    "Ready",
    "False",
    "Terminating",
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
    "ServiceCIDR",
)
REF = SERVICECIDR.ref("", "x")


def found(
    *cidrs: str,
    finalizers: tuple[str, ...] = (FINALIZER,),
    ready: str = "True",
    deleted: float | None = None,
) -> Any:
    metadata = {"name": "x", "uid": "u", "resourceVersion": "7", "finalizers": finalizers}
    if deleted is not None:
        metadata["deletionTimestamp"] = time(deleted)
    said = [{"type": "Ready", "status": ready, "message": "words"}] if ready else []
    document = {"metadata": metadata, "spec": {"cidrs": cidrs}, "status": {"conditions": said}}
    return decoded(document, ServiceCIDR)


@pytest.mark.parametrize(
    ("outer", "inner", "inside"),
    [
        ("10.0.0.0/16", "10.0.1.0/24", True),
        ("10.0.0.0/16", "10.0.0.0/16", True),
        ("10.0.1.0/24", "10.0.0.0/16", False),
        ("10.0.0.0/16", "10.1.0.0/24", False),
        ("fd00::/64", "10.0.1.0/24", False),
    ],
)
def test_a_range_goes_when_others_contain_it(outer: str, inner: str, inside: bool) -> None:
    addresses = [ip_address("10.0.1.5"), ip_address("10.0.200.1"), ip_address("10.1.0.1")]
    assert may_go(found(inner), [found(outer)], addresses) is inside
    assert may_go(found(inner), [found(outer)], [])


def test_a_range_goes_when_each_of_its_addresses_has_another() -> None:
    one, other = found("10.0.0.0/16"), found("10.0.1.0/24")
    assert may_go(one, [other], [ip_address("10.0.1.5"), ip_address("192.168.0.1")])
    assert not may_go(one, [other], [ip_address("10.0.1.5"), ip_address("10.0.2.1")])
    both = found("10.0.1.0/24", "fd00::/64")
    assert not may_go(both, [one], [ip_address("fd00::1")])
    assert may_go(both, [one, found("fd00::/32")], [ip_address("fd00::1")])
    assert contains(both, ip_address("fd00::1")) and not contains(both, ip_address("fd01::1"))


def test_a_range_is_given_its_finalizer_and_condition_once() -> None:
    finalizers = Patch(REF, {"metadata": {"finalizers": ["a", FINALIZER]}}, uid="u", revision=7)
    assert plan(found("10.0.0.0/16", finalizers=("a",)), True, NOW) == ([finalizers], None)
    assert plan(found("10.0.0.0/16"), True, NOW) == ([], None)
    (actions, again) = plan(found("10.0.0.0/16", ready=""), True, NOW)
    assert again is None
    assert [it.subresource for it in actions if isinstance(it, Patch)] == ["status"]


def test_a_range_goes_some_seconds_after_it_was_deleted() -> None:
    going = found("10.0.0.0/16", finalizers=("a", FINALIZER), deleted=4)
    assert plan(going, True, NOW) == ([], 6)
    gone = found("10.0.0.0/16", finalizers=("a", FINALIZER), deleted=10)
    kept = Patch(REF, {"metadata": {"finalizers": ["a"]}}, uid="u", revision=7)
    assert plan(gone, True, NOW) == ([kept], None)
    assert plan(found("10.0.0.0/16", finalizers=("a",), deleted=10), True, NOW) == ([], None)
    held = found("10.0.0.0/16", ready="False", deleted=10)
    assert plan(held, False, NOW) == ([], None)


async def said(api: Served, name: str) -> list[tuple[object, ...]]:
    return conditions((await api.get(f"{RANGES}/{name}")).ok(), *CONDITION)


@served
async def test_a_range_waits_for_its_addresses(api: Served) -> None:
    async with controlled(api, ServiceCIDRController):
        body = {"metadata": {"name": "other"}, "spec": {"cidrs": ["10.200.0.0/24"]}}
        (await api.post(RANGES, body)).ok()
        await api.world.sleep(1)
        assert await said(api, "other") == [READY]
        for name in ("other", "kubernetes"):
            made = (await api.get(f"{RANGES}/{name}")).ok()
            assert made["metadata"]["finalizers"] == [FINALIZER]
        (await api.post(SERVICES, service("a", clusterIP="10.200.0.3"))).ok()
        (await api.delete(f"{RANGES}/other")).ok()
        await api.world.sleep(60)
        assert await said(api, "other") == [HELD]
        (await api.delete(f"{SERVICES}/a")).ok()
        await api.world.sleep(1)
        assert (await api.get(f"{RANGES}/other")).code == 404


@served
async def test_a_range_is_let_go_by_a_larger_one_that_comes(api: Served) -> None:
    async with controlled(api, ServiceCIDRController):
        body = {"metadata": {"name": "small"}, "spec": {"cidrs": ["10.200.0.0/24"]}}
        (await api.post(RANGES, body)).ok()
        await api.world.sleep(1)
        (await api.post(SERVICES, service("a", clusterIP="10.200.0.3"))).ok()
        (await api.delete(f"{RANGES}/small")).ok()
        await api.world.sleep(2)
        assert await said(api, "small") == [HELD]
        body = {"metadata": {"name": "large"}, "spec": {"cidrs": ["10.200.0.0/16"]}}
        (await api.post(RANGES, body)).ok()
        await api.world.sleep(12)
        assert (await api.get(f"{RANGES}/small")).code == 404


@served
async def test_the_range_of_the_server_stays_while_it_has_services(api: Served) -> None:
    async with controlled(api, ServiceCIDRController):
        await api.world.sleep(1)
        (await api.delete(f"{RANGES}/kubernetes")).ok()
        await api.world.sleep(60)
        assert await said(api, "kubernetes") == [HELD]
