"""PersistentVolumes, their sources, and claims on them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import IMMUTABLE, Causes, admitted, causes, kind_of

from steersman.model.schema import builtin
from steersman.model.types import persistent_difference
from steersman.model.types.persistent_sources import SOURCES

REQUIRED = "Required value"
ONE_TYPE = "Forbidden: may not specify more than 1 volume type"
MODES = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
AFFINITY = {
    "required": {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
        ]
    }
}
VOLUME: dict[str, Any] = {
    "accessModes": ["ReadWriteOnce"],
    "capacity": {"storage": "1Gi"},
}
HOST_PATH: dict[str, Any] = {**VOLUME, "hostPath": {"path": "/x"}}


def volume(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    before = None if old is None else {"spec": old}
    return causes("", "persistentvolumes", {"spec": spec}, before)


def test_a_sound_volume_passes_and_may_stay() -> None:
    full = {
        **HOST_PATH,
        "persistentVolumeReclaimPolicy": "Recycle",
        "nodeAffinity": AFFINITY,
        "storageClassName": "fast",
        "volumeMode": "Block",
    }
    assert volume(**full) == []
    assert volume(full, **full) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"accessModes": []}, [("spec.accessModes", REQUIRED)]),
        ({"accessModes": ["ReadWriteOncePod"]}, []),
        (
            {"accessModes": ["ReadWriteOncePod", "Often", "ReadOnlyMany"]},
            [
                ("spec.accessModes", f'Unsupported value: "Often": supported values: {MODES}'),
                (
                    "spec.accessModes",
                    "Forbidden: may not use ReadWriteOncePod with other access modes",
                ),
            ],
        ),
        (
            {"capacity": {}},
            [
                ("spec.capacity", REQUIRED),
                ("spec.capacity", 'Unsupported value: null: supported values: "storage"'),
            ],
        ),
        (
            {"capacity": {"storage": "0", "cpu": "-1"}},
            [
                (
                    "spec.capacity",
                    'Unsupported value: {"storage":"0","cpu":"-1"}: supported values: "storage"',
                ),
                ("spec.capacity[storage]", 'Invalid value: "0": must be greater than zero'),
                ("spec.capacity[cpu]", "Invalid value: -1: must be a valid resource quantity"),
                ("spec.capacity[cpu]", 'Invalid value: "-1": must be greater than zero'),
            ],
        ),
        (
            {"persistentVolumeReclaimPolicy": "Keep"},
            [
                (
                    "spec.persistentVolumeReclaimPolicy",
                    'Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain"',
                )
            ],
        ),
        (
            {"nodeAffinity": {}},
            [("spec.nodeAffinity.required", f"{REQUIRED}: must specify required node constraints")],
        ),
        (
            {"nodeAffinity": {"required": {"nodeSelectorTerms": []}}},
            [
                (
                    "spec.nodeAffinity.required.nodeSelectorTerms",
                    f"{REQUIRED}: must have at least one node selector term",
                )
            ],
        ),
        (
            {"hostPath": {"path": "/x/.."}, "persistentVolumeReclaimPolicy": "Recycle"},
            [
                ("spec.hostPath.path", "Invalid value: \"/x/..\": must not contain '..'"),
                (
                    "spec.persistentVolumeReclaimPolicy",
                    "Forbidden: may not be 'recycle' for a hostPath mount of '/'",
                ),
            ],
        ),
        (
            {"volumeMode": "Tape"},
            [
                (
                    "spec.volumeMode",
                    'Unsupported value: "Tape": supported values: "Block", "Filesystem"',
                )
            ],
        ),
        (
            {"volumeAttributesClassName": ""},
            [
                (
                    "spec.volumeAttributesClassName",
                    f"{REQUIRED}: an empty string is disallowed",
                ),
                (
                    "spec.csi",
                    f"{REQUIRED}: has to be specified when using volumeAttributesClassName",
                ),
            ],
        ),
        ({"hostPath": None}, [("spec", f"{REQUIRED}: must specify a volume type")]),
        ({"local": {"path": "/y"}}, [("spec.local", ONE_TYPE)]),
        ({"cephfs": {"monitors": ["m"]}}, [("spec.cephFS", ONE_TYPE)]),
        ({"flexVolume": {"driver": "d/e"}}, []),
    ],
)
def test_volumes(change: dict[str, Any], expected: Causes) -> None:
    assert volume(**{**HOST_PATH, **change}) == expected


@pytest.mark.parametrize(
    ("name", "path"), [("storageClassName", "spec"), ("volumeAttributesClassName", "spec")]
)
def test_the_name_of_a_class_is_a_subdomain(name: str, path: str) -> None:
    csi = {"driver": "d.example.com", "volumeHandle": "v"}
    found = volume(**{**VOLUME, "csi": csi, name: "A_b"})
    assert [field for field, _text in found] == [f"{path}.{name}"]
    assert "RFC 1123 subdomain" in found[0][1]


FORMAT = "must be valid format"
ISCSI = {"targetPortal": "p", "iqn": "iqn.2024-01.a.b:c", "lun": 0}
LUN = "must be between 0 and 255, inclusive"


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("hostPath", {"path": ""}, [("hostPath.path", REQUIRED)]),
        (
            "gcePersistentDisk",
            {"pdName": "", "partition": 256},
            [
                ("persistentDisk.pdName", REQUIRED),
                (
                    "persistentDisk.partition",
                    "Invalid value: 256: must be between 1 and 255, inclusive",
                ),
            ],
        ),
        ("awsElasticBlockStore", {"volumeID": ""}, [("awsElasticBlockStore.volumeID", REQUIRED)]),
        (
            "glusterfs",
            {"endpoints": "", "path": "", "endpointsNamespace": ""},
            [
                ("glusterfs.endpoints", REQUIRED),
                ("glusterfs.path", REQUIRED),
                (
                    "glusterfs.endpointsNamespace",
                    'Invalid value: "": if the endpointnamespace is set, it must be a valid '
                    "namespace name",
                ),
            ],
        ),
        (
            "flocker",
            {},
            [("flocker", f"{REQUIRED}: one of datasetName and datasetUUID is required")],
        ),
        (
            "flocker",
            {"datasetName": "a/b", "datasetUUID": "u"},
            [
                (
                    "flocker",
                    'Invalid value: "resource": datasetName and datasetUUID can not be specified '
                    "simultaneously",
                ),
                ("flocker.datasetName", "Invalid value: \"a/b\": must not contain '/'"),
            ],
        ),
        (
            "nfs",
            {"server": "", "path": "x"},
            [
                ("nfs.server", REQUIRED),
                ("nfs.path", 'Invalid value: "x": must be an absolute path'),
            ],
        ),
        (
            "rbd",
            {"monitors": [], "image": ""},
            [("rbd.monitors", REQUIRED), ("rbd.image", REQUIRED)],
        ),
        (
            "quobyte",
            {"registry": "", "volume": ""},
            [
                (
                    "quobyte.registry",
                    f"{REQUIRED}: must be a host:port pair or multiple pairs separated by commas",
                ),
                ("quobyte.volume", REQUIRED),
            ],
        ),
        (
            "quobyte",
            {"registry": "a:1,b,[::1]:2,::1", "volume": "v"},
            [
                (
                    "quobyte.registry",
                    'Invalid value: "a:1,b,[::1]:2,::1": must be a host:port pair or multiple '
                    "pairs separated by commas",
                )
            ]
            * 2,
        ),
        (
            "quobyte",
            {"registry": "a:1", "volume": "v", "tenant": "t" * 65},
            [
                (
                    "quobyte.tenant",
                    f"{REQUIRED}: must be a UUID and may not exceed a length of 64 characters",
                )
            ],
        ),
        ("cephfs", {"monitors": []}, [("cephfs.monitors", REQUIRED)]),
        ("iscsi", {**ISCSI, "iqn": "eui.0123456789abcdef"}, []),
        ("iscsi", {**ISCSI, "iqn": f"naa.{'0' * 32}"}, []),
        (
            "iscsi",
            {
                "targetPortal": "",
                "iqn": "",
                "lun": 256,
                "chapAuthSession": True,
                "initiatorName": "me",
            },
            [
                ("iscsi.targetPortal", REQUIRED),
                ("iscsi.iqn", REQUIRED),
                ("iscsi.lun", f"Invalid value: 256: {LUN}"),
                ("iscsi.secretRef", REQUIRED),
                ("iscsi.initiatorname", f'Invalid value: "me": {FORMAT}'),
            ],
        ),
        (
            "iscsi",
            {**ISCSI, "iqn": "iqn.x", "secretRef": {}, "targetPortal": "p" * 63}
            | {"initiatorName": ISCSI["iqn"]},
            [
                (
                    "iscsi.targetportal",
                    f'Invalid value: "{"p" * 63}": Total length of <volume '
                    "name>:<iscsi.targetPortal> must be under 64 characters if "
                    "iscsi.initiatorName is specified.",
                ),
                ("iscsi.iqn", f'Invalid value: "iqn.x": {FORMAT}'),
                ("iscsi.secretRef.name", REQUIRED),
            ],
        ),
        (
            "cinder",
            {"volumeID": "", "secretRef": {}},
            [
                ("cinder.volumeID", REQUIRED),
                ("cinder.secretRef.name", REQUIRED),
                ("cinder.secretRef.namespace", REQUIRED),
            ],
        ),
        (
            "fc",
            {},
            [
                (
                    "fc.targetWWNs",
                    f"{REQUIRED}: must specify either targetWWNs or wwids, but not both",
                )
            ],
        ),
        (
            "fc",
            {"targetWWNs": ["a"], "wwids": ["b"]},
            [
                (
                    "fc.targetWWNs",
                    'Invalid value: ["a"]: targetWWNs and wwids can not be specified '
                    "simultaneously",
                ),
                ("fc.lun", f"{REQUIRED}: lun is required if targetWWNs is specified"),
            ],
        ),
        ("fc", {"targetWWNs": ["a"], "lun": -1}, [("fc.lun", f"Invalid value: -1: {LUN}")]),
        (
            "flexVolume",
            {"driver": "", "options": {"a.K8S.io/b": "c", "kubernetes.io": "d", "xk8s.io": "e"}},
            [("flexVolume.driver", REQUIRED)]
            + [
                (
                    f"flexVolume.options[{key}]",
                    f'Invalid value: "{key}": kubernetes.io and k8s.io namespaces are reserved',
                )
                for key in ("a.K8S.io/b", "kubernetes.io")
            ],
        ),
        (
            "azureFile",
            {"secretName": "", "shareName": "", "secretNamespace": ""},
            [
                (f"azureFile.{name}", REQUIRED)
                for name in ("secretName", "shareName", "secretNamespace")
            ],
        ),
        ("vsphereVolume", {"volumePath": ""}, [("vsphereVolume.volumePath", REQUIRED)]),
        ("photonPersistentDisk", {"pdID": ""}, [("photonPersistentDisk.pdID", REQUIRED)]),
        ("portworxVolume", {"volumeID": ""}, [("portworxVolume.volumeID", REQUIRED)]),
        (
            "azureDisk",
            {"diskName": "", "diskURI": "x", "cachingMode": "All", "kind": "Managed"},
            [
                ("azureDisk.diskName", REQUIRED),
                (
                    "azureDisk.cachingMode",
                    'Unsupported value: "All": supported values: "None", "ReadOnly", "ReadWrite"',
                ),
                (
                    "azureDisk.diskURI",
                    'Unsupported value: "x": supported values: "/subscriptions/{sub-id}/'
                    "resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
                    '"',
                ),
            ],
        ),
        (
            "azureDisk",
            {"diskName": "d", "diskURI": "/subscriptions/", "kind": "Odd"},
            [
                (
                    "azureDisk.kind",
                    'Unsupported value: "Odd": supported values: "Dedicated", "Managed", "Shared"',
                ),
                (
                    "azureDisk.diskURI",
                    'Unsupported value: "/subscriptions/": supported values: "https://'
                    '{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"',
                ),
            ],
        ),
        (
            "scaleIO",
            {"gateway": "", "system": "", "volumeName": "", "secretRef": {}},
            [(f"scaleIO.{name}", REQUIRED) for name in ("gateway", "system", "volumeName")],
        ),
        (
            "storageos",
            {"secretRef": {}},
            [
                ("storageos.volumeName", REQUIRED),
                ("storageos.secretRef.name", REQUIRED),
                ("storageos.secretRef.namespace", REQUIRED),
            ],
        ),
        (
            "csi",
            {"driver": "", "volumeHandle": "", "nodeExpandSecretRef": {}},
            [
                ("csi.driver", REQUIRED),
                (
                    "csi.driver",
                    'Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case '
                    "alphanumeric characters, '-' or '.', and must start and end with an "
                    "alphanumeric character (e.g. 'example.com', regex used for validation is "
                    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                ),
                ("csi.volumeHandle", REQUIRED),
                ("csi.nodeExpandSecretRef.name", REQUIRED),
                ("csi.nodeExpandSecretRef.namespace", REQUIRED),
            ],
        ),
        (
            "csi",
            {"driver": "D" * 64, "volumeHandle": "v"},
            [("csi.driver", "Too long: may not be more than 63 bytes")],
        ),
    ],
)
def test_sources(source: str, given: dict[str, Any], expected: Causes) -> None:
    found = volume(**VOLUME, **{source: given})
    assert [(field.removeprefix("spec."), text) for field, text in found] == expected


def test_every_source_of_the_schema_is_known() -> None:
    fields = set(builtin().definition("io.k8s.api.core.v1.PersistentVolumeSpec").fields)
    others = {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
    assert fields - others == set(SOURCES)


def test_a_local_volume_says_where_it_is() -> None:
    assert volume(**VOLUME, local={"path": "/x"}, nodeAffinity=AFFINITY) == []
    assert volume(**VOLUME, local={"path": "a/../b"}) == [
        ("spec.local.path", "Invalid value: \"a/../b\": must not contain '..'"),
        ("spec.nodeAffinity", f"{REQUIRED}: Local volume requires node affinity"),
    ]


def test_what_a_volume_is_stays() -> None:
    moved = {**HOST_PATH, "hostPath": {"path": "/y"}, "volumeMode": "Block"}
    assert volume(HOST_PATH, **moved) == [
        (
            "spec.persistentvolumesource",
            "Forbidden: spec.persistentvolumesource is immutable after creation\n"
            "@@ -2,7 +2,7 @@\n"
            '  "GCEPersistentDisk": null,\n'
            '  "AWSElasticBlockStore": null,\n'
            '  "HostPath": {\n'
            '-  "Path": "/x",\n'
            '+  "Path": "/y",\n'
            '   "Type": ""\n'
            "  },\n"
            '  "Glusterfs": null,\n',
        ),
        ("volumeMode", f'Invalid value: "Block": {IMMUTABLE}'),
    ]


def test_the_secret_for_expansion_may_be_set_once() -> None:
    csi: dict[str, Any] = {"driver": "d.example.com", "volumeHandle": "v"}
    more = {**csi, "controllerExpandSecretRef": {"name": "s", "namespace": "n"}}
    other = {**csi, "controllerExpandSecretRef": {"name": "t", "namespace": "n"}}
    assert volume({**VOLUME, "csi": csi}, **VOLUME, csi=more) == []
    assert len(volume({**VOLUME, "csi": more}, **VOLUME, csi=csi)) == 1
    ((_, told),) = volume({**VOLUME, "csi": more}, **VOLUME, csi=other)
    assert told.partition("\n")[2] == (
        "@@ -30,7 +30,7 @@\n"
        '   "NodeStageSecretRef": null,\n'
        '   "NodePublishSecretRef": null,\n'
        '   "ControllerExpandSecretRef": {\n'
        '-   "Name": "s",\n'
        '+   "Name": "t",\n'
        '    "Namespace": "n"\n'
        "   },\n"
        '   "NodeExpandSecretRef": null\n'
    )


def test_maps_and_selectors_in_what_changed_stand_as_go_writes_them() -> None:
    before = {"driver": "d", "volumeHandle": "v", "volumeAttributes": {"b": "1", "a": "<"}}
    told = persistent_difference.of_sources({"csi": before}, {"nfs": {"path": "/p"}})
    assert '-  "VolumeAttributes": {\n-   "a": "\\u003c",\n-   "b": "1"\n-  },' in told
    assert '+  "Server": "",\n+  "Path": "/p",\n+  "ReadOnly": false\n' in told
    source = {"kind": "K", "name": "n", "apiGroup": "g"}
    selector = {
        "matchExpressions": [{"values": ["x"], "operator": "In", "key": "k"}],
        "matchLabels": {"b": "2", "a": "1"},
    }
    told = persistent_difference.of_claims({}, {"selector": selector, "dataSource": source})
    assert (
        '+ "Selector": {\n+  "matchLabels": {\n+   "a": "1",\n+   "b": "2"\n+  },\n'
        '+  "matchExpressions": [\n+   {\n+    "key": "k",\n+    "operator": "In",\n'
        '+    "values": [\n+     "x"\n+    ]\n+   }\n+  ]\n+ },\n'
    ) in told
    assert '+  "APIGroup": "g",\n+  "Kind": "K",\n+  "Name": "n"\n' in told


def affinity(key: str, value: str = "z") -> dict[str, Any]:
    one = {"key": key, "operator": "In", "values": [value]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [one]}]}}


def test_the_nodes_of_a_volume_stay_but_for_the_names_of_old_labels() -> None:
    beta, stable = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"
    old = {**HOST_PATH, "nodeAffinity": affinity(beta)}
    assert volume(HOST_PATH, **old) == []
    assert volume(old, **{**HOST_PATH, "nodeAffinity": affinity(stable)}) == []
    changed = volume(old, **{**HOST_PATH, "nodeAffinity": affinity(stable, "y")})
    assert [field for field, _text in changed] == ["nodeAffinity"]
    assert changed[0][1].endswith(f": {IMMUTABLE}, except for updating from beta label to GA")
    assert len(volume({**HOST_PATH, "nodeAffinity": affinity(stable)}, **old)) == 1


def test_the_attributes_of_a_volume_change_and_do_not_go() -> None:
    csi = {"driver": "d.example.com", "volumeHandle": "v"}
    old = {**VOLUME, "csi": csi, "volumeAttributesClassName": "a"}
    assert volume(old, **{**old, "volumeAttributesClassName": "b"}) == []
    assert volume(old, **VOLUME, csi=csi) == [
        (
            "spec.volumeAttributesClassName",
            "Forbidden: update from non-nil value to nil is forbidden",
        )
    ]


def test_a_new_volume_is_pending_since_it_was_made() -> None:
    kind = kind_of("", "persistentvolumes")
    made = {"name": "x", "creationTimestamp": "2024-01-01T00:00:00Z"}
    new = kind.prepare({"metadata": made, "status": {"phase": "Bound"}}, None, "")
    assert new["status"] == {
        "phase": "Pending",
        "lastPhaseTransitionTime": "2024-01-01T00:00:00Z",
    }
    changed = {"metadata": made, "status": {"phase": "Bound"}}
    assert kind.prepare(changed, new, "")["status"] == {"phase": "Bound"}


CLAIM: dict[str, Any] = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "2Gi"}},
}
SOURCE = {"kind": "PersistentVolumeClaim", "name": "c"}
BOUND = {"phase": "Bound", "capacity": {"storage": "1Gi"}}


def claim(old: dict[str, Any] | None = None, status: Any = None, **spec: Any) -> Causes:
    state = {} if status is None else {"status": status}
    before = None if old is None else {"spec": old, **state}
    return causes("", "persistentvolumeclaims", {"spec": spec, **state}, before)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"storageClassName": "", "dataSource": SOURCE, "dataSourceRef": SOURCE}, []),
        (
            {"accessModes": []},
            [("spec.accessModes", f"{REQUIRED}: at least 1 access mode is required")],
        ),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            [
                (
                    "spec.selector.matchExpressions[0].operator",
                    'Invalid value: "Near": not a valid selector operator',
                )
            ],
        ),
        ({"resources": {}}, [("spec.resources[storage]", REQUIRED)]),
        (
            {"resources": {"requests": {"storage": "0"}}},
            [("spec.resources[storage]", 'Invalid value: "0": must be greater than zero')],
        ),
        (
            {"volumeMode": "Tape"},
            [
                (
                    "spec.volumeMode",
                    'Unsupported value: "Tape": supported values: "Block", "Filesystem"',
                )
            ],
        ),
        (
            {"dataSource": {"kind": "", "name": ""}},
            [
                ("spec.dataSource.name", REQUIRED),
                ("spec.dataSource.kind", REQUIRED),
                (
                    "spec.dataSource",
                    "Invalid value: \"\": must be 'PersistentVolumeClaim' when referencing the "
                    "default apiGroup",
                ),
            ],
        ),
        (
            {"dataSource": SOURCE, "dataSourceRef": {**SOURCE, "name": "d"}},
            [("spec", "Invalid value: {}: must match dataSourceRef")],
        ),
        (
            {"dataSource": SOURCE, "dataSourceRef": {**SOURCE, "namespace": "m"}},
            [
                (
                    "spec",
                    "Invalid value: {}: may not be specified when dataSourceRef.namespace is "
                    "specified",
                )
            ],
        ),
    ],
)
def test_claims(change: dict[str, Any], expected: Causes) -> None:
    assert claim(**{**CLAIM, **change}) == expected


def test_names_in_a_claim() -> None:
    group = {"apiGroup": "A", "kind": "X", "name": "y"}
    spec = {**CLAIM, "storageClassName": "A", "volumeAttributesClassName": "B"}
    spec |= {"dataSource": group, "dataSourceRef": {**group, "namespace": "C"}}
    assert [field for field, _text in claim(**spec)][:-1] == [
        "spec.storageClassName",
        "spec.dataSource.apiGroup",
        "spec.dataSourceRef.apiGroup",
        "spec.dataSourceRef.namespace",
        "spec",
    ]
    spec = {**CLAIM, "dataSource": group, "dataSourceRef": group}
    assert claim(spec, **spec) == []


def fixed(*lines: str) -> tuple[str, str]:
    text = "\n".join(
        (
            "Forbidden: spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims",
            *lines,
            "",
        )
    )
    return ("spec", text)


def renamed(name: str, before: str, after: str, **others: str) -> tuple[str, str]:
    """Returns how it is told that one of the last fields of a claim changed."""
    last = {
        "VolumeName": '""',
        "StorageClassName": "null",
        "VolumeMode": '"Filesystem"',
        "DataSource": "null",
        "DataSourceRef": "null",
        "VolumeAttributesClassName": "null",
        **others,
    }
    lines = ['   "storage": "2Gi"', "  }", " },"]
    lines += [f' "{one}": {value},' for one, value in last.items()]
    lines[-1] = lines[-1][:-1]
    at = 3 + list(last).index(name)
    around = lines[at - 3 : at], lines[at + 1 : at + 4]
    comma = "" if name == "VolumeAttributesClassName" else ","
    # what comes before fills eight lines; the closing bracket is the last
    after_lines = around[1] if len(around[1]) == 3 else [*around[1], "}"]
    count = 4 + len(after_lines)
    return fixed(
        f"@@ -{at + 6},{count} +{at + 6},{count} @@",
        *(f" {line}" for line in around[0]),
        f'- "{name}": {before}{comma}',
        f'+ "{name}": {after}{comma}',
        *(f" {line}" for line in after_lines),
    )


SMALLER = (
    "spec.resources.requests.storage",
    "Forbidden: field can not be less than status.capacity",
)


def sized(storage: str) -> dict[str, Any]:
    return {**CLAIM, "resources": {"requests": {"storage": storage}}}


def test_a_claim_may_grow_while_it_is_bound_and_shrink_to_what_it_has() -> None:
    assert claim(CLAIM, BOUND, **sized("3Gi")) == []
    assert claim(CLAIM, BOUND, **sized("1500Mi")) == []
    assert claim(CLAIM, BOUND, **sized("1Gi")) == [SMALLER]
    larger = fixed(
        "@@ -6,7 +6,7 @@",
        '  "Resources": {',
        '   "Limits": null,',
        '   "Requests": {',
        '-   "storage": "2Gi"',
        '+   "storage": "3Gi"',
        "   }",
        "  },",
        '  "VolumeName": "",',
    )
    assert claim(CLAIM, {"phase": "Pending"}, **sized("3Gi")) == [larger]
    more = {"requests": {"storage": "3Gi"}, "limits": {"storage": "4Gi"}}
    limited = fixed(
        "@@ -4,7 +4,9 @@",
        "  ],",
        '  "Selector": null,',
        '  "Resources": {',
        '-  "Limits": null,',
        '+  "Limits": {',
        '+   "storage": "4Gi"',
        "+  },",
        '   "Requests": {',
        '    "storage": "2Gi"',
        "   }",
    )
    assert claim(CLAIM, BOUND, **{**CLAIM, "resources": more}) == [limited]


def test_a_claim_is_bound_once() -> None:
    assert claim(CLAIM, **CLAIM, volumeName="v") == []
    bound = {**CLAIM, "volumeName": "v"}
    assert claim(bound, **CLAIM, volumeName="w") == [renamed("VolumeName", '"v"', '"w"')]
    assert claim(bound, **CLAIM) == [renamed("VolumeName", '"v"', '""')]


def test_the_mode_of_a_claim_stays() -> None:
    assert claim(CLAIM, **CLAIM, volumeMode="Block") == [
        renamed("VolumeMode", '"Filesystem"', '"Block"'),
        ("volumeMode", f'Invalid value: "Block": {IMMUTABLE}'),
    ]


def test_a_claim_without_a_class_may_be_given_one() -> None:
    assert claim(CLAIM, **CLAIM, storageClassName="fast") == []
    assert claim({**CLAIM, "storageClassName": ""}, **CLAIM, storageClassName="fast") == [
        renamed("StorageClassName", '""', '"fast"')
    ]
    assert claim({**CLAIM, "storageClassName": "fast"}, **CLAIM) == [
        renamed("StorageClassName", '"fast"', "null")
    ]


def annotated(class_name: str | None, **spec: Any) -> dict[str, Any]:
    key = "volume.beta.kubernetes.io/storage-class"
    annotations = {} if class_name is None else {key: class_name}
    return {"metadata": {"annotations": annotations}, "spec": {**CLAIM, **spec}}


def test_the_class_in_an_annotation_moves_into_the_spec_and_else_stays() -> None:
    def changed(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
        return [field for field, _text in causes("", "persistentvolumeclaims", new, old)]

    path = "metadata.annotations.volume.beta.kubernetes.io/storage-class"
    assert changed(annotated(None, storageClassName="a"), annotated("a")) == []
    assert changed(annotated("a", storageClassName="a"), annotated("a")) == []
    assert changed(annotated("b"), annotated("a")) == [path]
    assert changed(annotated("a", storageClassName="b"), annotated("a")) == ["spec"]
    assert changed(annotated(None), annotated("a")) == [path]


def test_the_attributes_of_a_bound_claim_change_and_do_not_go() -> None:
    old = {**CLAIM, "volumeAttributesClassName": "a"}
    assert claim(old, BOUND, **CLAIM, volumeAttributesClassName="b") == []
    assert claim(old, {"phase": "Pending"}, **CLAIM, volumeAttributesClassName="b") == [
        renamed("VolumeAttributesClassName", '"a"', '"b"')
    ]
    path = "spec.volumeAttributesClassName"
    assert claim(old, BOUND, **CLAIM) == []
    assert claim(old, BOUND, **CLAIM, volumeAttributesClassName="") == []
    has = {**BOUND, "currentVolumeAttributesClassName": "a"}
    why = "is forbidden when status.currentVolumeAttributesClassName is not nil"
    assert claim(old, has, **CLAIM) == [(path, f"Forbidden: update to nil {why}")]
    assert claim(old, has, **CLAIM, volumeAttributesClassName="") == [
        (path, f"Forbidden: update to empty string {why}"),
    ]
    assert claim(old, has, **CLAIM, volumeAttributesClassName="b") == []
    none = {**CLAIM, "volumeAttributesClassName": ""}
    assert claim(none, BOUND, **none) == []


def test_the_status_of_a_claim() -> None:
    status = {
        "capacity": {"storage": "-1"},
        "allocatedResourceStatuses": {"storage": "Growing", "cpu": "NodeResizePending"},
        "allocatedResources": {"cpu": "1", "storage": "-1", "example.com/x": "1"},
    }
    document = {"spec": {}, "status": status}
    states = (
        '"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", '
        '"NodeResizeInfeasible", "NodeResizePending"'
    )
    assert causes("", "persistentvolumeclaims", document, document, "status") == [
        ("Spec.accessModes", REQUIRED),
        ("status.capacity[storage]", "Invalid value: -1: must be a valid resource quantity"),
        (
            "status.allocatedResourceStatus",
            f'Unsupported value: "storage": supported values: {states}',
        ),
        (
            "status.allocatedResourceStatus",
            'Unsupported value: "cpu": supported values: "storage"',
        ),
        ("status.allocatedResources", 'Unsupported value: "cpu": supported values: "storage"'),
        (
            "status.allocatedResources[storage]",
            "Invalid value: -1: must be a valid resource quantity",
        ),
    ]


SNAPSHOT = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
THING = {"apiGroup": "example.com", "kind": "Thing", "name": "t"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"dataSource": SNAPSHOT}, {"dataSource": SNAPSHOT, "dataSourceRef": SNAPSHOT}),
        ({"dataSourceRef": THING}, {"dataSource": THING, "dataSourceRef": THING}),
        ({"dataSource": THING}, {}),
        ({"dataSourceRef": {**THING, "namespace": "m"}}, {}),
        (
            {"dataSource": SOURCE, "dataSourceRef": THING},
            {"dataSource": SOURCE} | {"dataSourceRef": THING},
        ),
    ],
)
def test_the_two_fields_for_a_source_say_the_same(
    given: dict[str, Any], kept: dict[str, Any]
) -> None:
    kind = kind_of("", "persistentvolumeclaims")
    new = kind.prepare(admitted(kind, {"spec": {**CLAIM, **given}}), None, "")
    found = {name: value for name, value in new["spec"].items() if name.startswith("data")}
    assert found == kept
    again = kind.prepare(new, new, "")
    assert again == new


def test_a_source_in_another_namespace_does_not_come_to_a_claim_that_has_one() -> None:
    elsewhere = {**CLAIM, "dataSource": None, "dataSourceRef": {**THING, "namespace": "m"}}
    kind = kind_of("", "persistentvolumeclaims")
    old = kind.prepare(admitted(kind, {"spec": {**CLAIM, "dataSourceRef": THING}}), None, "")
    new = kind.prepare(admitted(kind, {"spec": elsewhere}), old, "")
    assert new["spec"]["dataSourceRef"] == {**THING, "namespace": "m"}
    assert [cause.field for cause in kind.check(new, old, "")] == ["spec", "spec"]
