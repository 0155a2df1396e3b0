"""What updates of Services may change, and what events, StatefulSets and Endpoints may say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import Causes, admitted, causes, kind_of

RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
HINTS = "service.kubernetes.io/topology-mode"
OLD_HINTS = "service.kubernetes.io/topology-aware-hints"
FIXED = "may not change once set"
ONE, TWO = "10.0.0.1", "fd00::1"


def service(*addresses: str, **spec: Any) -> dict[str, Any]:
    """Returns a Service with addresses and their families."""
    families = ["IPv6" if ":" in one else "IPv4" for one in addresses]
    own = {"clusterIP": addresses[0], "clusterIPs": list(addresses), "ipFamilies": families}
    return {"spec": {"ports": [{"port": 80}], **own, **spec}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (service(ONE, TWO), service(ONE, ipFamilyPolicy="SingleStack"), []),
        (
            service(ONE, TWO),
            service(ONE, ipFamilyPolicy="PreferDualStack"),
            [
                (
                    "spec.ipFamilyPolicy",
                    "Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when "
                    "releasing the secondary clusterIP",
                ),
                (
                    "spec.ipFamilyPolicy",
                    "Invalid value: \"PreferDualStack\": must be set to 'SingleStack' when "
                    "releasing the secondary ipFamily",
                ),
            ],
        ),
        (
            service(ONE, TWO),
            service(ONE, "fd00::2"),
            [("spec.clusterIPs[1]", f'Invalid value: ["{ONE}","fd00::2"]: {FIXED}')],
        ),
        (service(ONE), service(ONE, TWO), []),
        (
            service(ONE),
            service("10.0.0.2", TWO),
            [("spec.clusterIPs[0]", f'Invalid value: ["10.0.0.2","{TWO}"]: {FIXED}')],
        ),
        (service("None", ipFamilies=["IPv4"]), service("None", ipFamilies=["IPv6"]), []),
        (
            service(ONE, type="LoadBalancer", loadBalancerClass="e.com/a"),
            service(ONE, type="LoadBalancer", loadBalancerClass="e.com/b"),
            [("spec.loadBalancerClass", f'Invalid value: "e.com/b": {FIXED}')],
        ),
    ],
)
def test_what_stays_of_a_service(
    old: dict[str, Any], new: dict[str, Any], expected: Causes
) -> None:
    assert causes("", "services", new, old) == expected


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        ({RANGES: " 10.0.0.0/8 , 10.0.0.0/9"}, {"type": "LoadBalancer"}, []),
        ({RANGES: " "}, {"type": "LoadBalancer"}, []),
        (
            {RANGES: "x"},
            {"type": "LoadBalancer"},
            [
                (
                    RANGES,
                    'Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
                    "2001:db8::/64)",
                )
            ],
        ),
        (
            {RANGES: ""},
            {},
            [(RANGES, "Forbidden: may only be used when `type` is 'LoadBalancer'")],
        ),
        ({HINTS: "Auto", OLD_HINTS: "Auto"}, {}, []),
        (
            {HINTS: "Auto", OLD_HINTS: "auto"},
            {},
            [
                (
                    HINTS,
                    f'Invalid value: "Auto": must match annotations[{OLD_HINTS}] when both are '
                    "specified",
                )
            ],
        ),
    ],
)
def test_the_annotations_of_a_service(
    annotations: dict[str, str], spec: dict[str, Any], expected: Causes
) -> None:
    document = {**service(ONE, **spec), "metadata": {"annotations": annotations}}
    found = [(f"metadata.annotations[{key}]", text) for key, text in expected]
    assert causes("", "services", document) == found


def test_two_addresses_of_a_service_are_of_two_families() -> None:
    document = service(ONE, "10.0.0.2", ipFamilies=["IPv4"])
    text = "may specify no more than one IP for each IP family"
    expected = [("spec.clusterIPs", f'Invalid value: ["{ONE}","10.0.0.2"]: {text}')]
    assert causes("", "services", document) == expected


def test_addresses_of_a_service_come_with_the_first() -> None:
    document = {"spec": {"ports": [{"port": 80}], "clusterIPs": [ONE]}}
    text = f'Invalid value: ["{ONE}"]: must be empty when `clusterIP` is not specified'
    assert causes("", "services", document) == [("spec.clusterIPs", text)]


def test_an_endpoint_that_is_no_address_is_said_twice() -> None:
    subset = {"addresses": [{"ip": "x"}]}
    assert causes("", "endpoints", {"subsets": [subset]}) == [
        (
            "subsets[0].addresses[0].ip",
            'Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        ("subsets[0].addresses[0].ip", 'Invalid value: "x": must be a valid IP address'),
    ]


STATEFUL = {
    "selector": {"matchLabels": {"app": "a"}},
    "template": {
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "a", "image": "i"}]},
    },
}


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "x"}},
            "persistentVolumeClaimRetentionPolicy.whenScaled",
            'Unsupported value: "x": supported values: "Retain", "Delete"',
        ),
        (
            {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}},
            "updateStrategy.rollingUpdate.maxUnavailable",
            "Invalid value: 0: cannot be 0",
        ),
        (
            {
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": "101%"},
                }
            },
            "updateStrategy.rollingUpdate.maxUnavailable",
            'Invalid value: "101%": must not be greater than 100%',
        ),
    ],
)
def test_how_a_stateful_set_is_updated(spec: dict[str, Any], field: str, text: str) -> None:
    document = {"spec": {**STATEFUL, **spec}}
    assert causes("apps", "statefulsets", document) == [(f"spec.{field}", text)]


def test_a_stateful_sets_generation_is_not_negative() -> None:
    document = {"spec": STATEFUL, "status": {"replicas": 0, "observedGeneration": -1}}
    text = "Invalid value: -1: must be greater than or equal to 0"
    assert causes("apps", "statefulsets", document, document, "status") == [
        ("status.observedGeneration", text)
    ]


EVENT = {
    "regarding": {"namespace": "n"},
    "eventTime": "2020-01-01T00:00:00.000000Z",
    "reportingController": "a.example/b",
    "reportingInstance": "b",
    "action": "Do",
    "reason": "Why",
    "type": "Normal",
}


def strictly(new: dict[str, Any], old: dict[str, Any] | None = None) -> Causes:
    """Returns what is wrong with an event that came over events.k8s.io."""
    kind = kind_of("events.k8s.io", "events")
    convert = kind.versions[0].to_storage
    assert convert is not None
    now, then = (None if one is None else convert(admitted(kind, one)) for one in (new, old))
    assert now is not None
    return [(cause.field, cause.message) for cause in kind.check(now, then, "")]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        (
            {"series": {"count": 1, "lastObservedTime": "2020-01-01T00:00:00.000000Z"}},
            [("series.count", 'Invalid value: "": should be at least 2')],
        ),
        ({"type": "Odd"}, [("type", 'Invalid value: "": has invalid value: Odd')]),
        ({"deprecatedCount": 1}, [("count", 'Invalid value: "": needs to be unset')]),
        (
            {"deprecatedSource": {"component": "c"}},
            [("source", 'Invalid value: "": needs to be unset')],
        ),
    ],
)
def test_a_new_event_of_the_newer_group(changed: dict[str, Any], expected: Causes) -> None:
    assert strictly({**EVENT, **changed}) == expected


def test_an_event_of_the_newer_group_has_a_time() -> None:
    timeless = {name: value for name, value in EVENT.items() if name != "eventTime"}
    assert strictly(timeless) == [("eventTime", "Required value")]


def test_of_an_event_of_the_newer_group_only_the_series_changes() -> None:
    series = {"count": 2, "lastObservedTime": "2020-01-01T00:00:00.000000Z"}
    assert strictly({**EVENT, "series": series}, EVENT) == []
    text = 'Invalid value: "x": field is immutable'
    changed = {**EVENT, "reason": "x", "reportingController": "x", "note": "x"}
    assert strictly(changed, EVENT) == [
        ("reason", text),
        ("message", text),
        ("reason", text),
        ("reportingController", text),
    ]


def test_an_event_of_the_core_may_change_and_be_called_anything() -> None:
    event = {"metadata": {"name": "A:b"}, "involvedObject": {"namespace": "n"}, "reason": "a"}
    assert causes("", "events", event) == []
    assert causes("", "events", {**event, "reason": "b"}, event) == []
    timed = {**event, "involvedObject": {}, "eventTime": "2020-01-01T00:00:00.000000Z"}
    assert causes("", "events", timed)[0] == (
        "involvedObject.namespace",
        'Invalid value: "": does not match event.namespace',
    )
    system = {**timed, "metadata": {"name": "x", "namespace": "kube-system"}}
    assert "involvedObject.namespace" not in dict(causes("", "events", system))
