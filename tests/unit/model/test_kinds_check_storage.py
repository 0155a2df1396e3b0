"""The kinds of storage.k8s.io: classes, attachments and what CSI drivers say of themselves."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import IMMUTABLE, NEGATIVE, Causes, causes

GROUP = "storage.k8s.io"
REQUIRED = "Required value"
FOREVER = "Forbidden: updates to {} are forbidden."
CASELESS = (
    "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'Example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def of_class(old: dict[str, Any] | None = None, **fields: Any) -> Causes:
    return causes(GROUP, "storageclasses", {"provisioner": "p", **fields}, old)


def topology(*values: str, key: str = "zone") -> dict[str, Any]:
    return {"matchLabelExpressions": [{"key": key, "values": list(values)}]}


TOPOLOGY = "allowedTopologies[0].matchLabelExpressions"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"provisioner": "Example.com/P", "allowedTopologies": [topology("a"), topology("b")]}, []),
        ({"provisioner": ""}, [("provisioner", REQUIRED)]),
        (
            {"reclaimPolicy": "Recycle", "volumeBindingMode": "Later"},
            [
                (
                    "reclaimPolicy",
                    'Unsupported value: "Recycle": supported values: "Delete", "Retain"',
                ),
                (
                    "volumeBindingMode",
                    'Unsupported value: "Later": supported values: "Immediate", '
                    '"WaitForFirstConsumer"',
                ),
            ],
        ),
        (
            {"parameters": {"": "x"}},
            [("parameters", 'Invalid value: "": field can not be empty.')],
        ),
        (
            {"parameters": {str(number): "" for number in range(513)}},
            [("parameters", "Too long: may not be more than 512 bytes")],
        ),
        (
            {"parameters": {"k": "v" * 262144}},
            [("parameters", "Too long: may not be more than 262144 bytes")],
        ),
        ({"parameters": {"k": "v" * 262143}}, []),
        ({"allowedTopologies": [topology()]}, [(f"{TOPOLOGY}[0].values", REQUIRED)]),
        (
            {"allowedTopologies": [topology("a", "b", "a")]},
            [(f"{TOPOLOGY}[0].values[2]", 'Duplicate value: "a"')],
        ),
        (
            {"allowedTopologies": [topology("a", "b"), topology("b", "a")]},
            [("allowedTopologies[1].matchLabelExpressions", 'Duplicate value: ""')],
        ),
        ({"allowedTopologies": [{}]}, [(TOPOLOGY, 'Duplicate value: ""')]),
        (
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "z", "values": ["a"]}] * 2}]},
            [(f"{TOPOLOGY}[1].key", 'Duplicate value: "z"')],
        ),
    ],
)
def test_storage_classes(fields: dict[str, Any], expected: Causes) -> None:
    assert of_class(**fields) == expected


def test_bad_keys_of_topologies_and_provisioners() -> None:
    found = of_class(provisioner="A b", allowedTopologies=[topology("a", key="a b")])
    assert [field for field, _text in found] == ["provisioner", f"{TOPOLOGY}[0].key"]
    assert found[0][1].startswith('Invalid value: "a b": name part must consist of')


def test_a_storage_class_changes_in_little() -> None:
    old = {"provisioner": "p", "parameters": {"a": "b"}}
    assert of_class(old, parameters={"a": "b"}, allowVolumeExpansion=True) == []
    assert of_class({"provisioner": "p"}, parameters={}) == []
    assert of_class({"provisioner": "p"}, provisioner="") == [
        ("provisioner", f"Invalid value: null: {IMMUTABLE}"),
        ("provisioner", REQUIRED),
    ]
    changed = {"provisioner": "q", "reclaimPolicy": "Retain"}
    assert of_class(old, **changed, volumeBindingMode="WaitForFirstConsumer") == [
        (name, f"Invalid value: null: {IMMUTABLE}")
        for name in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")
    ]


def test_classes_of_volume_attributes() -> None:
    plural = "volumeattributesclasses"
    sound = {"driverName": "d.example.com", "parameters": {"a": "b"}}
    assert causes(GROUP, plural, sound) == []
    assert causes(GROUP, plural, {"driverName": ""}) == [
        ("driverName", REQUIRED),
        ("parameters", f"{REQUIRED}: must contain at least one key/value pair"),
    ]
    assert causes(GROUP, plural, {"driverName": "e", "parameters": {"a": "c"}}, sound) == [
        ("driverName", FOREVER.format("driverName")),
        ("parameters", FOREVER.format("parameters")),
    ]


ATTACHED: dict[str, Any] = {
    "attacher": "a.example.com",
    "nodeName": "n",
    "source": {"persistentVolumeName": "v"},
}
CSI = {"driver": "d.example.com", "volumeHandle": "h"}
ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
INLINE = "spec.source.inlineVolumeSpec"
NOT_INLINE = "Forbidden: may not be specified in the context of inline volumes"


def inline(**spec: Any) -> dict[str, Any]:
    whole = {"accessModes": ["ReadWriteOnce"], "csi": CSI, **spec}
    return {"source": {"inlineVolumeSpec": whole}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        (inline(), []),
        ({"source": {}}, [("spec.source", f"{REQUIRED}: {ONE_SOURCE}")]),
        (
            {"source": {"persistentVolumeName": "v", **inline()["source"]}},
            [("spec.source", f"Forbidden: {ONE_SOURCE}")],
        ),
        (
            inline(csi=None, hostPath={"path": "/"}, accessModes=[], capacity={"storage": "1"}),
            [
                (f"{INLINE}.capacity", NOT_INLINE),
                (
                    f"{INLINE}.csi",
                    f"{REQUIRED}: has to be specified in the context of inline volumes",
                ),
                (f"{INLINE}.accessModes", REQUIRED),
            ],
        ),
        (
            inline(
                claimRef={"name": "c"},
                persistentVolumeReclaimPolicy="Delete",
                nodeAffinity={},
                storageClassName="s",
                volumeMode="Block",
            ),
            [
                (f"{INLINE}.claimRef", NOT_INLINE),
                (
                    f"{INLINE}.persistentVolumeReclaimPolicy",
                    "Forbidden: may only be Retain in the context of inline volumes",
                ),
                (f"{INLINE}.nodeAffinity", NOT_INLINE),
                (f"{INLINE}.storageClassName", NOT_INLINE),
                (
                    f"{INLINE}.volumeMode",
                    "Forbidden: may not specify volumeMode other than Filesystem in the context "
                    "of inline volumes",
                ),
            ],
        ),
    ],
)
def test_attachments(change: dict[str, Any], expected: Causes) -> None:
    assert causes(GROUP, "volumeattachments", {"spec": {**ATTACHED, **change}}) == expected


def test_names_in_an_attachment() -> None:
    spec = {"attacher": "", "nodeName": "N", "source": {"persistentVolumeName": ""}}
    found = causes(GROUP, "volumeattachments", {"spec": spec})
    assert [(field, text.partition(":")[0]) for field, text in found] == [
        ("spec.source.persistentVolumeName", REQUIRED),
        ("spec.nodeName", "Invalid value"),
        ("spec.source.persistentVolumeName", "Invalid value"),
        ("spec.attacher", REQUIRED),
    ]
    spec = {**ATTACHED, "attacher": "A_" * 32}
    assert causes(GROUP, "volumeattachments", {"spec": spec}) == [
        ("spec.attacher", f'Invalid value: "{spec["attacher"]}": {CASELESS}'),
        ("spec.attacher", "Too long: may not be more than 63 characters"),
    ]
    assert causes(GROUP, "volumeattachments", {"spec": {**ATTACHED, "attacher": "A.b"}}) == []


def test_what_is_attached_stays_and_its_errors_are_short() -> None:
    old = {"spec": ATTACHED}
    changed = {"spec": {**ATTACHED, "nodeName": "m"}}
    assert causes(GROUP, "volumeattachments", changed, old) == [
        ("spec", f"Invalid value: null: {IMMUTABLE}")
    ]
    status = {
        "attached": True,
        "attachmentMetadata": {"k": "v" * 262144},
        "attachError": {"message": "m" * 1025},
        "detachError": {"message": "m" * 1024, "errorCode": -1},
    }
    told = {**old, "status": status}
    assert causes(GROUP, "volumeattachments", told, old, "status") == [
        ("status.attachmentMetadata", "Too long: may not be more than 262144 bytes"),
        ("status.attachError.message", "Too long: may not be more than 262144 bytes"),
        (
            "status.detachError.errorCode",
            "Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"tokenRequests": [{"audience": ""}, {"audience": "a", "expirationSeconds": 600}]}, []),
        (
            {"fsGroupPolicy": "Always", "volumeLifecycleModes": ["Once"]},
            [
                (
                    "spec.fsGroupPolicy",
                    'Unsupported value: "Always": supported values: "File", "None", '
                    '"ReadWriteOnceWithFSType"',
                ),
                (
                    "spec.volumeLifecycleModes",
                    'Unsupported value: "Once": supported values: "Persistent", "Ephemeral"',
                ),
            ],
        ),
        (
            {
                "tokenRequests": [
                    {"audience": "a", "expirationSeconds": 599},
                    {"audience": "a", "expirationSeconds": 1},
                    {"audience": "b", "expirationSeconds": 2**32 + 1},
                ]
            },
            [
                (
                    "spec.tokenRequests[0].expirationSeconds",
                    "Invalid value: 599: may not specify a duration less than 10 minutes",
                ),
                ("spec.tokenRequests[1].audience", 'Duplicate value: "a"'),
                (
                    "spec.tokenRequests[2].expirationSeconds",
                    "Invalid value: 4294967297: may not specify a duration larger than 2^32 "
                    "seconds",
                ),
            ],
        ),
        (
            {"nodeAllocatableUpdatePeriodSeconds": 9, "serviceAccountTokenInSecrets": False},
            [
                (
                    "spec.nodeAllocatableUpdatePeriodSeconds",
                    "Invalid value: 9: must be greater than or equal to 10 seconds",
                ),
                (
                    "spec.serviceAccountTokenInSecrets",
                    "Invalid value: false: serviceAccountTokenInSecrets is set but no "
                    "tokenRequests are specified",
                ),
            ],
        ),
    ],
)
def test_drivers(spec: dict[str, Any], expected: Causes) -> None:
    assert causes(GROUP, "csidrivers", {"spec": spec}) == expected


def test_a_driver_keeps_how_it_attaches_and_lives() -> None:
    old = {"spec": {"attachRequired": True}}
    assert causes(GROUP, "csidrivers", {"spec": {"podInfoOnMount": True}}, old) == []
    changed = {"attachRequired": False, "volumeLifecycleModes": ["Ephemeral"]}
    assert causes(GROUP, "csidrivers", {"spec": changed}, old) == [
        ("spec.attachedRequired", f"Invalid value: false: {IMMUTABLE}"),
        ("spec.volumeLifecycleModes", f'Invalid value: ["Ephemeral"]: {IMMUTABLE}'),
    ]


def node(*drivers: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"drivers": list(drivers)}}


def test_the_drivers_of_a_node() -> None:
    one = {"name": "d.example.com", "nodeID": "i" * 256, "topologyKeys": ["a", "b"]}
    assert causes(GROUP, "csinodes", node(one)) == []
    bad = {
        "name": "d.example.com",
        "nodeID": "",
        "topologyKeys": ["a", "a"],
        "allocatable": {"count": -1},
    }
    assert causes(GROUP, "csinodes", node(one, bad)) == [
        ("spec.drivers[1].nodeID", REQUIRED),
        ("spec.drivers[1].allocatable.count", NEGATIVE),
        ("spec.drivers[1].name", 'Duplicate value: "d.example.com"'),
        ("spec.drivers[1]", 'Duplicate value: "a"'),
    ]
    long = {**one, "nodeID": "i" * 257, "topologyKeys": [""]}
    assert [(field, text[:30]) for field, text in causes(GROUP, "csinodes", node(long))] == [
        ("spec.drivers[0].nodeID", f'Invalid value: "{"i" * 14}'),
        ("spec.drivers[0]", REQUIRED),
        ("spec.drivers[0]", 'Invalid value: "": name part m'),
        ("spec.drivers[0]", 'Invalid value: "": name part m'),
    ]


def test_a_driver_of_a_node_changes_in_its_limit_alone() -> None:
    one = {"name": "d", "nodeID": "i", "topologyKeys": ["a"], "allocatable": {"count": 1}}
    other = {"name": "e", "nodeID": "j"}
    more = {**one, "allocatable": {"count": 2}}
    assert causes(GROUP, "csinodes", node(more, other), node(one)) == []
    moved = {**one, "nodeID": "k"}
    assert causes(GROUP, "csinodes", node(moved), node(one)) == [
        (
            "spec.drivers",
            'Invalid value: {"Name":"d","NodeID":"k","TopologyKeys":["a"],"Allocatable":null}: '
            f"{IMMUTABLE}",
        )
    ]


def test_capacities_of_storage() -> None:
    plural = "csistoragecapacities"
    sound = {"storageClassName": "s", "nodeTopology": {}, "capacity": "1Gi"}
    assert causes(GROUP, plural, sound) == []
    assert causes(GROUP, plural, {**sound, "capacity": "0"}, sound) == []
    bad = {
        "storageClassName": "s",
        "capacity": "-1",
        "nodeTopology": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
    }
    assert causes(GROUP, plural, bad) == [
        (
            "nodeTopology.matchExpressions[0].values",
            "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        ("capacity", 'Invalid value: "-1": must be greater than or equal to 0'),
    ]
    changed = {"storageClassName": "t"}
    assert causes(GROUP, plural, changed, sound) == [
        ("nodeTopology", f"Invalid value: null: {IMMUTABLE}"),
        ("storageClassName", f'Invalid value: "t": {IMMUTABLE}'),
    ]
    assert [field for field, _text in causes(GROUP, plural, {"storageClassName": ""})] == [
        "storageClassName"
    ]
