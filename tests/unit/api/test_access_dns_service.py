"""The `kube-dns` Service: there from the start, pointing at the node, and not fought over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from served import SERVICES, Served, service, serving
from steersman.api.bootstrap.dns_service import check_vacant
from steersman.store.memory import MemoryStore
from steersman.world.simulated import SimulatedWorld, simulate

SYSTEM = "/api/v1/namespaces/kube-system"
PLACE = f"{SYSTEM}/services/kube-dns"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
NODE = ("10.64.0.1", 10053)
Test = Callable[[Served], Awaitable[None]]


def through(*runs: tuple[tuple[str, int], Test]) -> None:
    """Serves one store again and again, each time with other endpoints and another test."""

    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        for dns, test in runs:
            async with serving(world, store, dns) as api:
                await test(api)

    simulate(1, main)


async def endpoints(api: Served) -> list[str]:
    """The addresses behind the Service, by its slice; its Endpoints say the same."""
    found = (await api.get(f"{SLICES}/kube-dns")).ok()
    addresses = [one["addresses"][0] for one in found.get("endpoints") or ()]
    subsets = (await api.get(f"{SYSTEM}/endpoints/kube-dns")).ok().get("subsets") or ()
    assert [one["ip"] for it in subsets for one in it["addresses"]] == addresses
    return addresses


def test_a_cluster_with_a_node_has_the_service_that_everybody_looks_for() -> None:
    async def test(api: Served) -> None:
        found = (await api.get(PLACE)).ok()
        assert found["spec"]["clusterIP"] == "10.96.0.10" and "selector" not in found["spec"]
        shown = [(it["name"], it["protocol"], it["port"]) for it in found["spec"]["ports"]]
        assert shown == [("dns", "UDP", 53), ("dns-tcp", "TCP", 53), ("metrics", "TCP", 9153)]
        assert found["metadata"]["labels"] == {
            "k8s-app": "kube-dns",
            "kubernetes.io/cluster-service": "true",
            "kubernetes.io/name": "CoreDNS",
        }
        assert await endpoints(api) == ["10.64.0.1"]
        ports = (await api.get(f"{SLICES}/kube-dns")).ok()["ports"]
        assert [(it["name"], it["protocol"], it["port"]) for it in ports] == [
            ("dns", "UDP", 10053), ("dns-tcp", "TCP", 10053),
        ]  # fmt: skip

    through((NODE, test))


def test_endpoints_come_and_go_with_the_node() -> None:
    async def none(api: Served) -> None:
        assert await endpoints(api) == []

    async def one(api: Served) -> None:
        assert await endpoints(api) == ["10.64.0.1"]

    through((("", 10053), none), (NODE, one), (("", 10053), none))


def test_somebodys_own_server_is_left_alone() -> None:
    async def replace(api: Served) -> None:
        own = (await api.get(PLACE)).ok()
        own["spec"]["selector"] = {"k8s-app": "kube-dns"}
        (await api.put(PLACE, own)).ok()
        (await api.delete(f"{SLICES}/kube-dns")).ok()

    async def kept(api: Served) -> None:
        assert (await api.get(PLACE)).ok()["spec"]["selector"] == {"k8s-app": "kube-dns"}
        assert (await api.get(f"{SLICES}/kube-dns")).code == 404

    through((NODE, replace), (NODE, kept))


def test_an_address_that_somebody_else_took_does_not_keep_the_server_from_starting() -> None:
    async def take(api: Served) -> None:
        (await api.delete(PLACE)).ok()
        (await api.delete(f"{SLICES}/kube-dns")).ok()
        (await api.post(SERVICES, service("other", clusterIP="10.96.0.10"))).ok()

    async def kept(api: Served) -> None:
        assert (await api.get(PLACE)).code == 404
        (await api.delete(f"{SERVICES}/other")).ok()

    async def back(api: Served) -> None:
        assert await endpoints(api) == ["10.64.0.1"]

    through((NODE, take), (NODE, kept), (NODE, back))


@pytest.mark.parametrize(
    ("service", "holder", "vacant"),
    [
        (None, None, True),
        ({"spec": {}}, {"spec": {"parentRef": {"namespace": "a", "name": "b"}}}, True),
        ({"spec": {"selector": {"a": "b"}}}, None, False),
        (None, {"spec": {"parentRef": {"namespace": "default", "name": "kube-dns"}}}, False),
        (None, {"spec": {"parentRef": {"namespace": "kube-system", "name": "kube-dns"}}}, True),
        (None, {}, False),
    ],
)
def test_when_the_place_is_free(service: object, holder: object, vacant: bool) -> None:
    assert check_vacant(service, holder) is vacant  # type: ignore[arg-type]
