"""EndpointSlice plans: which slice an endpoint is put into, and what is left of the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from steersman.controllers.endpoint_pods import behind, hostname, port_number
from steersman.controllers.endpoint_slices import MAX_ENDPOINTS
from steersman.controllers.endpointslice import labels, plan
from steersman.model.kind import Document
from steersman.model.kinds.endpointslice import EndpointSlice
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.service import Service, ServicePort
from steersman.reconcile.actions import Action, Create, Delete, Patch
from unit.controllers.views import LABELS, decoded, pod

PORT = {"name": "", "protocol": "TCP", "port": 80}


def service() -> Service:
    metadata = {"name": "web", "namespace": "default", "uid": "uid-web"}
    spec = {"selector": LABELS, "ports": [{"port": 80, "protocol": "TCP"}]}
    found: Service = decoded({"metadata": metadata, "spec": spec}, Service)
    return found


def pods(*numbers: int) -> list[Pod]:
    return [
        pod(f"p{number}", ready=5, status={"podIPs": [{"ip": f"10.0.0.{number}"}]})
        for number in numbers
    ]


def endpoint(number: int) -> Document:
    name = f"p{number}"
    return {
        "addresses": [f"10.0.0.{number}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": name, "uid": f"uid-{name}"},
        "nodeName": "node-1",
    }


def slice_of(name: str, numbers: Iterable[int], **fields: Any) -> EndpointSlice:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "3"}
    document = {
        "metadata": {**metadata, "labels": labels(service())},
        "addressType": "IPv4",
        "ports": [PORT],
        "endpoints": [endpoint(number) for number in numbers],
        **fields,
    }
    found: EndpointSlice = decoded(document, EndpointSlice)
    return found


def planned(behind: Sequence[Pod], *slices: EndpointSlice) -> list[Action]:
    return plan(service(), behind, slices, {})


def addresses(changed: Any) -> list[str]:
    return [it["addresses"][0] for it in changed["endpoints"]]


def test_slices_that_are_right_are_left_alone() -> None:
    assert planned(pods(1, 2, 3), slice_of("a", (1,)), slice_of("b", (2, 3))) == []


@pytest.mark.parametrize(
    ("publishes", "serving", "terminating", "ready"),
    [
        (False, True, False, True),
        (False, False, False, False),
        (False, True, True, False),
        (True, False, False, True),
        (True, True, True, True),
        (True, False, True, True),
    ],
)
def test_an_endpoint_is_ready_unless_it_ends_or_always_where_a_service_says_so(
    publishes: bool, serving: bool, terminating: bool, ready: bool
) -> None:
    found = pod(
        "p1",
        ready=5 if serving else None,
        deleted=terminating,
        status={"podIPs": [{"ip": "10.0.0.1"}]},
    )
    spec = msgspec.structs.replace(service().spec, publish_not_ready_addresses=publishes)
    (action,) = plan(msgspec.structs.replace(service(), spec=spec), [found], (), {})
    assert isinstance(action, Create)
    (made,) = action.document["endpoints"]
    assert made["conditions"] == {"ready": ready, "serving": serving, "terminating": terminating}


def test_a_new_endpoint_goes_to_the_fullest_slice_with_room() -> None:
    slices = slice_of("a", (1,)), slice_of("b", (2, 3))
    for order in (slices, slices[::-1]):
        (action,) = planned(pods(1, 2, 3, 4), *order)
        assert isinstance(action, Patch)
        assert (action.ref.name, action.uid, action.revision) == ("b", "uid-b", 3)
        assert addresses(action.patch) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]


def test_a_full_slice_takes_no_more_and_a_new_one_is_made() -> None:
    full = range(1, MAX_ENDPOINTS + 1)
    (action,) = planned(pods(*full, 200), slice_of("a", full))
    assert isinstance(action, Create)
    assert addresses(action.document) == ["10.0.0.200"]
    assert action.document["ports"] == [PORT]
    assert action.document["addressType"] == "IPv4"


def test_a_slice_whose_endpoints_are_all_gone_goes_where_others_remain() -> None:
    (action,) = planned(pods(1), slice_of("a", (1,)), slice_of("b", (2,)))
    assert isinstance(action, Delete)
    assert action.ref.name == "b"


def test_of_slices_without_endpoints_one_stays() -> None:
    empty = {"ports": []}
    (action,) = planned([], slice_of("a", (), **empty), slice_of("b", (), **empty))
    assert isinstance(action, Delete)
    assert action.ref.name == "b"


def test_a_slice_with_other_ports_is_replaced() -> None:
    other = slice_of("a", (1,), ports=[{**PORT, "port": 81}])
    made, gone = planned(pods(1), other)
    assert isinstance(made, Create)
    assert addresses(made.document) == ["10.0.0.1"]
    assert isinstance(gone, Delete)
    assert gone.ref.name == "a"


def test_labels_of_a_slice_are_put_right_and_strange_ones_go() -> None:
    found = slice_of("a", (1,))
    strange = {**found.metadata.labels, "strange": "yes"}
    changed = slice_of("a", (1,), metadata={"name": "a", "namespace": "default", "labels": strange})
    (action,) = planned(pods(1), changed)
    assert isinstance(action, Patch)
    assert action.patch == {"metadata": {"labels": {"strange": None, **labels(service())}}}


def test_behind_a_service_are_pods_that_it_selects_with_an_address_and_not_at_their_end() -> None:
    (there,) = pods(2)
    ending = pod("ending", deleted=True, status={"podIPs": [{"ip": "10.0.0.8"}]})
    other = pod("other", labels={"app": "db"}, status={"podIPs": [{"ip": "10.0.0.9"}]})
    over = [pod(p, phase=p, status={"podIP": "10.0.0.7"}) for p in ("Succeeded", "Failed")]
    single = pod("single", status={"podIP": "10.0.0.6"})
    found = [there, ending, other, *over, single, pod("bare")]
    named = [it.metadata.name for it in behind(service(), found, terminating=True)]
    assert named == ["ending", "p2", "single"]
    named = [it.metadata.name for it in behind(service(), found, terminating=False)]
    assert named == ["p2", "single"]


def test_a_port_is_found_by_its_number_or_by_name_and_protocol_in_containers_and_sidecars() -> None:
    def container(name: str, number: int, protocol: str = "", **more: Any) -> Document:
        ports = [{"name": name, "containerPort": number, "protocol": protocol}]
        return {"name": f"c{number}", "ports": ports, **more}

    spec = {
        "containers": [container("dns", 53, "UDP"), container("dns", 54), container("web", 8080)],
        "initContainers": [
            container("early", 1),
            container("side", 9, restartPolicy="Always"),
        ],
    }
    asked = pod("p", spec=spec)

    def number(target: Any, protocol: str = "TCP") -> int | None:
        port = decoded({"port": 80, "protocol": protocol, "targetPort": target}, ServicePort)
        return port_number(port, asked)

    assert [number(8080), number(0), number("web")] == [8080, 80, 8080]
    assert [number("dns"), number("dns", "UDP"), number("dns", "SCTP")] == [54, 53, None]
    assert [number("side"), number("early"), number("none")] == [9, None, None]


def test_a_pod_has_its_hostname_under_its_own_subdomain_only() -> None:
    for subdomain, expected in (("web", "h"), ("other", ""), ("", "")):
        named = pod("p", spec={"hostname": "h", "subdomain": subdomain})
        assert hostname(service(), named) == expected


def test_slices_of_another_family_of_addresses_are_left_to_it() -> None:
    six = slice_of("six", (1,), addressType="IPv6")
    created, gone = planned(pods(1), six)
    assert isinstance(created, Create)
    assert created.document["addressType"] == "IPv4"
    assert isinstance(gone, Delete)
    assert gone.ref.name == "six"
