"""Which address a Service of type LoadBalancer gets, keeps and gives back."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from typing import Any

import msgspec
import pytest

from steersman.controllers.load_balancer import LoadBalancerController, _touched, plan
from steersman.model import service_range
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Patch, Tell
from steersman.reconcile.loop import Given

RANGE = ip_network("10.96.0.0/16")
FIRST, SECOND = "10.96.255.1", "10.96.255.2"


def service(
    name: str, *given: str, born: int = 0, type: str = "LoadBalancer", **spec: Any
) -> Service:
    document = {
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid of {name}",
            "resourceVersion": "7",
            "creationTimestamp": f"2026-01-01T00:00:{born:02}Z",
        },
        "spec": {"type": type, "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": address} for address in given]}},
    }
    return msgspec.convert(document, Service)


def planned(found: Service, *others: Service) -> list[Action]:
    return plan(found, (found, *others), RANGE)


def gives(actions: list[Action]) -> str | None:
    """The address that a plan gives, None where it gives none."""
    patches = [it for it in actions if isinstance(it, Patch)]
    if not patches:
        return None
    (ingress,) = patches[0].patch["status"]["loadBalancer"]["ingress"]  # type: ignore[call-overload]
    return str(ingress["ip"])


def takes(found: Service, *others: Service) -> bool:
    """Says whether a plan takes addresses back, and does nothing else."""
    wanted = {"status": {"loadBalancer": {"ingress": None}}}
    ref = SERVICE.ref("default", found.metadata.name)
    return planned(found, *others) == [Patch(ref, wanted, "status", found.metadata.uid, 7)]


def test_a_service_gets_the_first_free_address_and_its_events() -> None:
    found = service("web")
    assert planned(found) == [
        Tell(found, "EnsuringLoadBalancer", "Ensuring load balancer"),
        Patch(
            SERVICE.ref("default", "web"),
            {"status": {"loadBalancer": {"ingress": [{"ip": FIRST, "ipMode": "VIP"}]}}},
            "status",
            "uid of web",
            7,
        ),
        Tell(found, "EnsuredLoadBalancer", "Ensured load balancer"),
    ]
    assert gives(planned(found, service("other", FIRST))) == SECOND
    cluster = service("other", type="ClusterIP", clusterIP=FIRST, clusterIPs=[FIRST])
    assert gives(planned(found, cluster)) == SECOND


def test_a_service_that_has_an_address_keeps_it() -> None:
    assert planned(service("web", SECOND)) == []
    assert planned(service("web", SECOND), service("other", FIRST)) == []


@pytest.mark.parametrize(
    "found",
    [
        service("web", type="ClusterIP"),
        service("web", type="NodePort"),
        service("web", loadBalancerClass="example.org/cloud"),
        service("web", FIRST, loadBalancerClass="example.org/cloud"),
        service("web", "192.0.2.1"),
        service("web", "192.0.2.1", type="ClusterIP"),
    ],
    ids=["ClusterIP", "NodePort", "class", "class with address", "another's", "another's, left"],
)
def test_what_is_none_of_ours_is_not_touched(found: Service) -> None:
    assert planned(found) == []


def test_a_service_that_is_being_deleted_is_left() -> None:
    leaving = msgspec.structs.replace(
        service("web"), metadata=msgspec.convert(
            {"namespace": "default", "name": "web", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            type(service("web").metadata),
        )
    )  # fmt: skip
    assert planned(leaving) == []


@pytest.mark.parametrize("type", ["ClusterIP", "NodePort", "ExternalName"])
def test_a_service_that_is_no_longer_balanced_gives_its_address_back(type: str) -> None:
    assert takes(service("web", FIRST, type=type))


def test_an_address_that_two_have_stays_with_the_older() -> None:
    older, younger = service("older", FIRST, born=1), service("younger", FIRST, born=2)
    assert planned(older, younger) == []
    assert gives(planned(younger, older)) == SECOND
    first, second = service("a", FIRST), service("b", FIRST)
    assert planned(first, second) == [] and gives(planned(second, first)) == SECOND


def test_of_three_with_one_address_the_oldest_keeps_it_in_whatever_order_they_are_seen() -> None:
    one, two, three = (service(f"s{born}", FIRST, born=born) for born in (1, 2, 3))
    for others in ((one, three), (three, one)):
        assert gives(planned(two, *others)) == SECOND
    for others in ((one, two), (two, one)):
        assert gives(planned(three, *others)) == SECOND
        assert planned(one, *others[1:], three) == []


def test_a_cluster_address_is_stronger_than_one_that_was_given() -> None:
    late = service("late", born=9, type="ClusterIP", clusterIP=FIRST, clusterIPs=[FIRST])
    assert gives(planned(service("web", FIRST), late)) == SECOND


def test_two_addresses_become_one() -> None:
    assert gives(planned(service("web", FIRST, SECOND))) == FIRST


def told(actions: list[Action]) -> str:
    (tell,) = (it for it in actions if isinstance(it, Tell))
    assert (tell.reason, tell.type) == ("SyncLoadBalancerFailed", "Warning")
    return tell.note.removeprefix("Error syncing load balancer: failed to ensure load balancer: ")


def test_an_address_can_be_asked_for() -> None:
    wanted = service("web", loadBalancerIP="10.96.255.77")
    assert gives(planned(wanted)) == "10.96.255.77"
    assert planned(service("web", "10.96.255.77", loadBalancerIP="10.96.255.77")) == []
    moved = service("web", FIRST, loadBalancerIP="10.96.255.77")
    assert gives(planned(moved)) == "10.96.255.77"


def test_an_address_that_cannot_be_had_is_told() -> None:
    used = service("other", "10.96.255.77")
    wanted = service("web", loadBalancerIP="10.96.255.77")
    assert told(planned(wanted, used)) == "loadBalancerIP 10.96.255.77 is in use"
    for text in ("10.96.0.5", "192.0.2.1", "nonsense"):
        found = told(planned(service("web", loadBalancerIP=text)))
        assert found == f"loadBalancerIP {text} is not between 10.96.255.1 and 10.96.255.254"


def test_a_pool_that_is_used_up_is_told_and_a_lost_address_taken_back() -> None:
    every = [service(f"s{n}", f"10.96.255.{n}", born=1) for n in range(1, 255)]
    assert told(planned(service("web"), *every)) == (
        "all 254 addresses for load balancers are in use"
    )
    lost = planned(service("web", FIRST, born=2), *every)
    assert told(lost) and isinstance(lost[-1], Patch)


class Views:
    def __init__(self, *services: Service) -> None:
        self._services = services

    def of(self, _kind: object) -> Views:
        return self

    def list(self) -> tuple[Service, ...]:
        return self._services


def touched(old: Service | None, new: Service | None, *others: Service) -> set[str]:
    return {ref.name for ref in _touched(Views(*others), old, new)}  # type: ignore[arg-type]


def test_a_freed_address_wakes_those_who_wait_and_a_shared_one_those_who_share() -> None:
    waiting, having = service("waiting"), service("having", FIRST)
    plain = service("plain", type="ClusterIP")
    others = (waiting, having, plain)
    held = service("web", SECOND)
    assert touched(held, None, *others) == {"web", "waiting"}
    assert touched(None, held, *others) == {"web"}
    assert touched(held, held, *others) == {"web"}
    assert touched(None, service("web", FIRST), *others) == {"web", "having"}
    cluster = service("web", type="ClusterIP", clusterIP=FIRST, clusterIPs=[FIRST])
    assert touched(None, cluster, *others) == {"web", "having"}


@pytest.mark.parametrize(
    ("text", "count", "first", "last"),
    [
        ("10.96.0.0/16", 254, "10.96.255.1", "10.96.255.254"),
        ("10.96.0.0/20", 254, "10.96.15.1", "10.96.15.254"),
        ("10.96.0.0/24", 14, "10.96.0.241", "10.96.0.254"),
    ],
)
def test_the_pool_is_the_end_of_the_range(text: str, count: int, first: str, last: str) -> None:
    network = ip_network(text)
    pool = service_range.balanced_addresses(network)
    assert (len(pool), str(pool[0]), str(pool[-1])) == (count, first, last)
    assert all(service_range.is_balanced(address, network) for address in pool)
    for address in (pool[0] - 2, pool[-1] + 1, ip_address("192.0.2.1")):
        assert not service_range.is_balanced(address, network)


def test_a_small_range_has_none() -> None:
    assert service_range.balanced_addresses(ip_network("10.96.0.0/28")) == []


class SlowView:
    """A copy of the Services that shows what was written only when a test says so."""

    def __init__(self, *services: Service) -> None:
        self.services = {found.key: found for found in services}
        self.written: dict[tuple[str, str], Service] = {}
        self.shown = asyncio.Event()

    def of(self, _kind: object) -> SlowView:
        return self

    def get(self, ref: Ref) -> Service | None:
        return self.services.get((ref.namespace, ref.name))

    def list(self) -> list[Service]:
        return [*self.services.values()]

    async def reached(self, _revision: int) -> None:
        await self.shown.wait()
        self.services |= self.written

    async def patch(self, ref: Ref, patch: Any, **_more: Any) -> Service:
        (ingress,) = patch["status"]["loadBalancer"]["ingress"]
        found = service(ref.name, ingress["ip"])
        self.written[found.key] = found
        return found

    def normal(self, *_told: str) -> None:
        """Events are not looked at here."""


def test_the_next_service_waits_until_the_copy_shows_what_the_last_one_took() -> None:
    async def main() -> None:
        slow = SlowView(service("a"), service("b"))
        given = Given(client=slow, views=slow, world=None, events=slow)  # type: ignore[arg-type]
        controller = LoadBalancerController(given)
        refs = [SERVICE.ref("default", name) for name in ("a", "b")]
        working = [asyncio.ensure_future(controller.reconcile(ref)) for ref in refs]
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(slow.written) == 1
        slow.shown.set()
        await asyncio.gather(*working)
        given_now = [str(it.status.load_balancer.ingress[0].ip) for it in slow.list()]
        assert given_now == [FIRST, SECOND]

    asyncio.run(main())
