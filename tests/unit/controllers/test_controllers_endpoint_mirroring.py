"""Endpoints written by hand, and the slices that are made of them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers.endpoint_mirroring import MAX_ADDRESSES, is_mirrored, plan
from steersman.model.kinds.endpoints import Endpoints
from steersman.model.kinds.endpointslice import EndpointSlice
from steersman.model.kinds.service import Service
from steersman.reconcile.actions import Create, Delete, Patch, Tell
from unit.controllers.views import decoded

PORTS = [{"name": "web", "port": 80, "protocol": "TCP", "appProtocol": "http"}]


def endpoints(*subsets: Any, **metadata: Any) -> Endpoints:
    named = {"name": "db", "namespace": "default", "uid": "uid-db", **metadata}
    found: Endpoints = decoded({"metadata": named, "subsets": list(subsets)}, Endpoints)
    return found


def subset(*ready: str, unready: tuple[str, ...] = (), ports: Any = PORTS) -> Any:
    return {
        "addresses": [{"ip": address} for address in ready],
        "notReadyAddresses": [{"ip": address} for address in unready],
        "ports": ports,
    }


def service(**spec: Any) -> Service:
    found: Service = decoded({"metadata": {"name": "db"}, "spec": spec}, Service)
    return found


def made(action: Any, name: str = "db-x") -> EndpointSlice:
    """Returns what a creation makes, as the views show it."""
    assert isinstance(action, Create)
    metadata = {**action.document["metadata"], "name": name, "uid": name, "resourceVersion": "1"}
    found: EndpointSlice = decoded({**action.document, "metadata": metadata}, EndpointSlice)
    return found


def test_a_slice_has_the_addresses_ports_labels_and_notes_of_its_endpoints() -> None:
    target = {"kind": "Pod", "namespace": "default", "name": "p", "uid": "u"}
    address = {"ip": "10.0.0.2", "nodeName": "n", "hostname": "h", "targetRef": target}
    found = endpoints(
        {"addresses": [address], "notReadyAddresses": [{"ip": "10.0.0.3"}], "ports": PORTS},
        labels={"app": "db"},
        annotations={
            "note": "kept",
            "endpoints.kubernetes.io/last-change-trigger-time": "now",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    )
    [action] = plan(found, [])
    assert isinstance(action, Create)
    assert action.document == {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": "db-",
            "namespace": "default",
            "labels": {
                "app": "db",
                "kubernetes.io/service-name": "db",
                "endpointslice.kubernetes.io/managed-by": (
                    "endpointslicemirroring-controller.k8s.io"
                ),
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Endpoints",
                    "name": "db",
                    "uid": "uid-db",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            "annotations": {"note": "kept"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.0.0.2"],
                "conditions": {"ready": True},
                "targetRef": target,
                "nodeName": "n",
                "hostname": "h",
            },
            {"addresses": ["10.0.0.3"], "conditions": {"ready": False}},
        ],
        "ports": PORTS,
    }
    assert action.namespace == "default"
    assert plan(found, [made(action)]) == []


def test_families_and_ports_have_slices_of_their_own_and_alike_subsets_share_one() -> None:
    other = [{"name": "", "port": 81, "protocol": "TCP"}]
    found = endpoints(
        subset("10.0.0.1", "fd00::1"), subset("10.0.0.2", ports=other), subset("10.0.0.3")
    )
    slices = [action.document for action in plan(found, []) if isinstance(action, Create)]
    shown = [
        (it["addressType"], it["ports"][0]["port"], [e["addresses"][0] for e in it["endpoints"]])
        for it in slices
    ]
    assert shown == [
        ("IPv4", 80, ["10.0.0.1", "10.0.0.3"]),
        ("IPv6", 80, ["fd00::1"]),
        ("IPv4", 81, ["10.0.0.2"]),
    ]


def test_what_changes_is_patched_and_what_is_wanted_no_more_goes() -> None:
    [first] = plan(endpoints(subset("10.0.0.1")), [])
    known = made(first)
    [patch] = plan(endpoints(subset("10.0.0.2"), labels={"a": "b"}), [known])
    assert isinstance(patch, Patch)
    assert patch.patch["endpoints"] == [{"addresses": ["10.0.0.2"], "conditions": {"ready": True}}]
    assert patch.patch["metadata"]["labels"]["a"] == "b"  # type: ignore[call-overload]
    [noted] = plan(endpoints(subset("10.0.0.1"), annotations={"n": "1"}), [known])
    assert isinstance(noted, Patch)
    assert noted.patch == {"metadata": {"annotations": {"n": "1"}}}
    assert plan(endpoints(), [known]) == [Delete(patch.ref, "db-x")]


def test_addresses_that_are_none_are_left_out_and_told() -> None:
    actions = plan(endpoints(subset("10.0.0.1", "nonsense")), [])
    assert [type(action) for action in actions] == [Create, Tell]
    told = actions[1]
    assert isinstance(told, Tell)
    assert (told.reason, told.type, told.note) == (
        "InvalidIPAddress",
        "Warning",
        "Skipped 1 invalid IP addresses when mirroring to EndpointSlices",
    )


def test_of_too_many_addresses_the_ready_ones_come_first_and_the_rest_is_told() -> None:
    many = [f"10.0.{number // 250}.{number % 250}" for number in range(MAX_ADDRESSES)]
    found = endpoints(subset(*many[1:], unready=("10.9.0.1", "10.9.0.2"), ports=PORTS))
    creation, told = plan(found, [])
    assert isinstance(creation, Create)
    addresses = [it["addresses"][0] for it in creation.document["endpoints"]]
    assert addresses == [*many[1:], "10.9.0.1"]
    assert isinstance(told, Tell)
    assert (told.reason, told.note) == (
        "TooManyAddressesToMirror",
        "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. 1 "
        "addresses were skipped",
    )


@pytest.mark.parametrize(
    ("metadata", "spec", "mirrored"),
    [
        ({}, {}, True),
        ({}, {"selector": {"app": "db"}}, False),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}, {}, False),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "false"}}, {}, True),
        ({"annotations": {"control-plane.alpha.kubernetes.io/leader": "x"}}, {}, False),
    ],
)
def test_which_endpoints_are_mirrored(metadata: Any, spec: Any, mirrored: bool) -> None:
    assert is_mirrored(endpoints(**metadata), service(**spec)) == mirrored


def test_without_a_service_nothing_is_mirrored() -> None:
    assert not is_mirrored(endpoints(), None)
    assert not is_mirrored(None, service())
