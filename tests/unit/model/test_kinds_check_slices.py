"""ResourceSlices: pools, places, devices, counters and capacities that several share."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import Causes, admitted, causes, kind_of

GROUP = "resource.k8s.io"
REQUIRED = "Required value"
PLACES = (
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
)
DEVICE_PLACES = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)
D0 = "spec.devices[0]"
VALUES = "`int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`"
POOL = {"name": "p", "resourceSliceCount": 1}


def slice_of(*devices: dict[str, Any], **spec: Any) -> dict[str, Any]:
    listed = {"devices": list(devices)} if devices else {}
    placed = {} if "perDeviceNodeSelection" in spec else {"nodeName": "n"}
    return {"spec": {"driver": "d.example", "pool": POOL, **placed, **listed, **spec}}


def found(document: dict[str, Any], old: dict[str, Any] | None = None) -> Causes:
    return causes(GROUP, "resourceslices", document, old)


def device(name: str = "d0", **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


SELECTOR = {
    "nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    ]
}
TAINT = {"key": "k", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (slice_of(), []),
        (slice_of(driver="d" * 64), [("spec.driver", "Too long: may not be more than 63 bytes")]),
        (slice_of(pool={"name": "a/b.c", "resourceSliceCount": 2, "generation": 3}), []),
        (
            slice_of(pool={"name": "", "resourceSliceCount": 0, "generation": -1}),
            [
                ("spec.pool.name", REQUIRED),
                (
                    "spec.pool.resourceSliceCount",
                    "Invalid value: 0: must be greater than zero",
                ),
                (
                    "spec.pool.generation",
                    "Invalid value: -1: must be greater than or equal to zero",
                ),
            ],
        ),
        (
            slice_of(nodeName=""),
            [
                (
                    "spec.nodeName",
                    'Invalid value: "": must be either unset or set to a non-empty string',
                ),
                ("spec", f"{REQUIRED}: {PLACES}"),
            ],
        ),
        (
            slice_of(allNodes=True),
            [
                (
                    "spec",
                    f'Invalid value: "{{`nodeName`, `allNodes`}}": {PLACES}, but multiple fields '
                    "are set",
                )
            ],
        ),
        (
            slice_of(allNodes=False),
            [("spec.allNodes", "Invalid value: false: must be either unset or set to true")],
        ),
        (slice_of(nodeName=None, nodeSelector=SELECTOR), []),
        (
            slice_of(
                nodeName=None, nodeSelector={"nodeSelectorTerms": SELECTOR["nodeSelectorTerms"] * 2}
            ),
            [
                (
                    "spec.nodeSelector.nodeSelectorTerms",
                    'Invalid value: [{"matchExpressions":[{"key":"zone","operator":"In",'
                    '"values":["a"]}]},{"matchExpressions":[{"key":"zone","operator":"In",'
                    '"values":["a"]}]}]: must have exactly one node selector term',
                )
            ],
        ),
        (
            slice_of(device(), sharedCounters=[]),
            [("spec", 'Invalid value: "": only one of `sharedCounters` or `devices` is allowed')],
        ),
        (slice_of(*[device(f"d{number}") for number in range(128)]), []),
        (
            slice_of(*[device(f"d{number}") for number in range(129)]),
            [("spec.devices", "Too many: 129: must have at most 128 items")],
        ),
        (slice_of(*[device(f"d{number}", taints=[TAINT]) for number in range(64)]), []),
        (
            slice_of(*[device(f"d{number}", taints=[TAINT]) for number in range(65)]),
            [("spec.devices", "Too many: 65: must have at most 64 items")],
        ),
        (slice_of(device(), device()), [("spec.devices[1]", 'Duplicate value: "d0"')]),
        (
            slice_of(device(taints=[TAINT] * 17)),
            [(f"{D0}.taints", "Too many: 17: must have at most 16 items")],
        ),
        (
            slice_of(device(taints=[{"key": "k", "effect": ""}])),
            [(f"{D0}.taints[0].effect", REQUIRED)],
        ),
        (
            slice_of(device(nodeName="n")),
            [
                (
                    D0,
                    "Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be "
                    "set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
                )
            ],
        ),
        (slice_of(device(nodeName="n"), perDeviceNodeSelection=True), []),
        (slice_of(device(allNodes=True), perDeviceNodeSelection=True), []),
        (
            slice_of(device(), perDeviceNodeSelection=True),
            [(D0, f"{REQUIRED}: {DEVICE_PLACES}")],
        ),
        (
            slice_of(device(nodeName="n", allNodes=True), perDeviceNodeSelection=True),
            [(D0, f'Invalid value: "{{`nodeName`, `allNodes`}}": {DEVICE_PLACES}')],
        ),
        (
            slice_of(device(nodeName=""), perDeviceNodeSelection=True),
            [
                (f"{D0}.nodeName", 'Invalid value: "": must not be empty'),
                (D0, f"{REQUIRED}: {DEVICE_PLACES}"),
            ],
        ),
        (
            slice_of(device(bindingFailureConditions=["f"])),
            [
                (
                    f"{D0}.bindingConditions",
                    "Invalid value: null: bindingConditions are required to use "
                    "bindingFailureConditions",
                )
            ],
        ),
    ],
)
def test_a_slice_is_checked(document: dict[str, Any], expected: Causes) -> None:
    assert found(document) == expected


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"int": 0}, []),
        ({"bool": False}, []),
        ({"string": "x" * 64}, []),
        ({"version": "1.0.0-rc.1+build"}, []),
        (
            {"string": "x" * 65},
            [(".string", "Too long: may not be more than 64 bytes")],
        ),
        (
            {"version": "v1.0"},
            [
                (
                    ".version",
                    'Invalid value: "v1.0": must be a string compatible with semver.org spec 2.0.0',
                )
            ],
        ),
        ({}, [("", f'Invalid value: "": must specify one of: {VALUES}')]),
        (
            {"int": 1, "string": "x"},
            [
                (
                    "",
                    f'Invalid value: "{{int, string}}": must specify exactly one of: {VALUES}',
                )
            ],
        ),
    ],
)
def test_an_attribute_has_one_value(attribute: dict[str, Any], expected: Causes) -> None:
    path = f"{D0}.attributes[a.b/c]"
    document = slice_of(device(attributes={"a.b/c": attribute}))
    assert found(document) == [(f"{path}{field}", message) for field, message in expected]


def test_names_of_attributes_are_qualified_and_shown_shortened() -> None:
    long = "a" * 60 + "/" + "b" * 60
    document = slice_of(device(attributes={long: {}}))
    shown = "a" * 47 + "..." + "b" * 46
    assert found(document) == [
        (f"{D0}.attributes", "Too long: may not be more than 32 bytes"),
        (
            f"{D0}.attributes[{shown}]",
            f'Invalid value: "": must specify one of: {VALUES}',
        ),
    ]


def test_a_device_has_at_most_32_attributes_and_capacities() -> None:
    attributes = {f"a{number}": {"int": 1} for number in range(20)}
    capacity = {f"c{number}": {"value": "1"} for number in range(13)}
    assert found(slice_of(device(attributes=attributes, capacity=capacity))) == [
        (D0, "Invalid value: 33: the total number of attributes and capacities must not exceed 32")
    ]
    del capacity["c0"]
    assert found(slice_of(device(attributes=attributes, capacity=capacity))) == []


def policy(value: str = "10", **fields: Any) -> dict[str, Any]:
    capacity = {"value": value, "requestPolicy": fields}
    return slice_of(device(allowMultipleAllocations=True, capacity={"c": capacity}))


P = f"{D0}.capacity[c].requestPolicy"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (policy(), []),
        (policy(default="1"), []),
        (
            policy(validValues=["1"]),
            [(".default", f"{REQUIRED}: required when validValues is defined")],
        ),
        (
            policy(validRange={"min": "1"}),
            [(".default", f"{REQUIRED}: required when validRange is defined")],
        ),
        (
            policy(default="1", validValues=["1"], validRange={"min": "1"}),
            [
                (
                    "",
                    'Forbidden: exactly one policy can be specified, cannot specify "validValues" '
                    'and "validRange" at the same time',
                )
            ],
        ),
        (policy(default="2", validValues=["1", "2", "10"]), []),
        (
            policy(default="3", validValues=["2", "1", "11", "11"]),
            [
                (
                    ".validValues[1]",
                    'Invalid value: "1": values must be sorted in ascending order',
                ),
                (
                    ".validValues[2]",
                    'Invalid value: "11": option is larger than capacity value: 10',
                ),
                (
                    ".validValues[3]",
                    'Invalid value: "11": option is larger than capacity value: 10',
                ),
                (".validValues[3]", 'Duplicate value: "11"'),
                (
                    ".validValues",
                    'Invalid value: "3": default value is not valid according to the requestPolicy',
                ),
            ],
        ),
        (
            policy(default="1", validValues=[str(number) for number in range(11)]),
            [
                (".validValues", "Too many: 11: must have at most 10 items"),
                (
                    ".validValues",
                    'Invalid value: "1": default value is not valid according to the requestPolicy',
                ),
            ],
        ),
        (policy(default="2", validRange={"min": "0", "max": "10", "step": "2"}), []),
        (policy(default="1", validRange={"max": "1"}), [(".validRange.min", None)]),
        (
            policy(default="1", validRange={"min": "11", "max": "12"}),
            [
                (
                    ".validRange.min",
                    'Invalid value: "11": min is larger than capacity value: 10',
                ),
                (".validRange.default", 'Invalid value: "1": default is less than min: 11'),
                (
                    ".validRange.max",
                    'Invalid value: "12": max is larger than capacity value: 10',
                ),
            ],
        ),
        (
            policy(default="5", validRange={"min": "3", "max": "2"}),
            [
                (".validRange.max", 'Invalid value: "3": min is larger than max: 2'),
                (".validRange.default", 'Invalid value: "5": default is more than max: 2'),
            ],
        ),
        (
            policy(default="1", validRange={"min": "0", "step": "0"}),
            [(".validRange.step", 'Invalid value: "0": must be greater than zero')],
        ),
        (
            policy(default="3", validRange={"min": "0", "max": "5", "step": "2"}),
            [
                (
                    ".validRange.step",
                    'Invalid value: "3": value is not a multiple of a given step (2) from (0)',
                ),
                (
                    ".validRange.step",
                    'Invalid value: "5": value is not a multiple of a given step (2) from (0)',
                ),
            ],
        ),
        (
            policy(default="2", validRange={"min": "2", "step": "9"}),
            [
                (
                    ".validRange.step",
                    'Invalid value: "9": one step 11 is larger than capacity value: 10',
                )
            ],
        ),
        (policy(default="1500m", validRange={"min": "0", "step": "500m"}), []),
        (
            policy(default="1500m", validRange={"min": "0", "step": "100u"}),
            [
                (
                    ".validRange.step",
                    'Invalid value: "100u": value cannot be represented as a milli value',
                )
            ],
        ),
        (
            policy("1E", default="1", validRange={"min": "-1", "step": "1"}),
            [
                (
                    ".validRange.min",
                    'Invalid value: "-1": must be greater than or equal to 0',
                )
            ],
        ),
        (
            policy("10E", default="0", validRange={"min": "0", "max": "10E", "step": "1"}),
            [
                (
                    ".validRange.max",
                    'Invalid value: "10E": must not be larger than 9223372036854775807',
                )
            ],
        ),
    ],
)
def test_what_may_be_asked_for_of_a_shared_capacity_is_checked(
    document: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    whole = [
        (f"{P}{field}", message or f"{REQUIRED}: required when validRange is defined")
        for field, message in expected
    ]
    assert found(document) == whole


def test_only_a_device_for_several_has_a_request_policy() -> None:
    capacity = {"c": {"value": "1", "requestPolicy": {}}}
    document = slice_of(device(capacity=capacity))
    assert found(document) == [(P, "Forbidden: allowMultipleAllocations must be true")]
    assert found(document, document) == []


def test_taints_that_were_there_before_may_stay() -> None:
    odd = slice_of(device(taints=[{"key": "k", "effect": "Later"}]))
    assert found(odd, odd) == []
    more = slice_of(device(taints=[{"key": "k", "effect": "Later"}, TAINT]))
    assert [field for field, _ in found(more, odd)] == [f"{D0}.taints[0].effect"]


def counters(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"counters": {f"c{index}": {"value": "1"} for index in range(number)}, **fields}


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([counters(32, name="s")], []),
        (
            [counters(33, name="s")],
            [("spec.sharedCounters[0].counters", "Too many: 33: must have at most 32 items")],
        ),
        (
            [{"name": "", "counters": {}}],
            [
                ("spec.sharedCounters[0].name", REQUIRED),
                ("spec.sharedCounters[0].counters", REQUIRED),
            ],
        ),
        (
            [counters(name="s")] * 2,
            [("spec.sharedCounters[1]", 'Duplicate value: "s"')],
        ),
        (
            [counters(name="s")] * 9,
            [("spec.sharedCounters", "Too many: 9: must have at most 8 items")],
        ),
    ],
)
def test_shared_counters_are_checked(sets: list[dict[str, Any]], expected: Causes) -> None:
    assert found(slice_of(sharedCounters=sets)) == expected


@pytest.mark.parametrize(
    ("consumed", "expected"),
    [
        ([counters(counterSet="s"), counters(counterSet="t")], []),
        (
            [{"counterSet": "", "counters": {}}],
            [
                (f"{D0}.consumesCounters[0].counterSet", REQUIRED),
                (f"{D0}.consumesCounters[0].counters", REQUIRED),
            ],
        ),
        (
            [counters(counterSet="s")] * 2,
            [(f"{D0}.consumesCounters[1]", 'Duplicate value: "s"')],
        ),
        (
            [counters(counterSet="s")] * 3,
            [(f"{D0}.consumesCounters", "Too many: 3: must have at most 2 items")],
        ),
    ],
)
def test_what_devices_consume_is_checked(consumed: list[Any], expected: Causes) -> None:
    assert found(slice_of(device(consumesCounters=consumed))) == expected


def test_pool_driver_and_node_of_a_slice_stay() -> None:
    old = slice_of()
    new = slice_of(driver="e.example", pool={**POOL, "name": "q"}, nodeName=None, allNodes=True)
    stays = "field is immutable"
    assert found(new, old) == [
        ("spec.pool.name", f'Invalid value: "q": {stays}'),
        ("spec.driver", f'Invalid value: "e.example": {stays}'),
        ("spec.nodeName", f"Invalid value: null: {stays}"),
    ]
    assert found(slice_of(pool={**POOL, "generation": 2}), old) == []


def test_fields_of_features_that_are_off_are_dropped() -> None:
    kind = kind_of(GROUP, "resourceslices")
    attributes = {"a": {"int": 1, "ints": [1]}}
    several = {"nodeAllocatableResources": {"cpu": {}}}
    document = slice_of(
        device(attributes=attributes, **several),
        device("d1", **several),
        skipNodeOperations=["*"],
        partitionTypeAttribute="a.b/c",
    )
    made = kind.prepare(admitted(kind, document), None, "")["spec"]
    assert made == slice_of(device(attributes={"a": {"int": 1}}), device("d1"))["spec"] | {
        "pool": made["pool"]
    }


def test_the_name_of_a_driver_should_be_lower_case() -> None:
    kind = kind_of(GROUP, "resourceslices")
    assert list(kind.warn(slice_of(driver="D.example"), None, "")) == [
        'spec.driver: driver names should be lowercase; "D.example" contains uppercase characters'
    ]
    assert list(kind.warn(slice_of(), None, "")) == []


def test_slices_are_selected_by_node_driver_and_pool() -> None:
    select = kind_of(GROUP, "resourceslices").selectable
    assert {name: of(slice_of()) for name, of in select.items()} == {
        "spec.nodeName": "n",
        "spec.driver": "d.example",
        "spec.pool.name": "p",
    }
