"""The other finished kinds: what is refused, cause by cause, in upstream's words."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from tests.authorities import request
from tests.checked import Causes, admitted, causes, kind_of

from steersman.model import builtin, decode, errors
from steersman.model.types import address_check, workload_check

TEMPLATE = {
    "metadata": {"labels": {"app": "a"}},
    "spec": {"containers": [{"name": "a", "image": "i"}]},
}
NEVER = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
SELECTOR = {"matchLabels": {"app": "a"}}
WORKLOAD = {"selector": SELECTOR, "template": TEMPLATE}
RBAC = "rbac.authorization.k8s.io"
NOT_STANDARD = "name is neither a standard finalizer name nor is it fully qualified"


SOUND = [
    ("", "configmaps", {"data": {"a.b": "c"}}),
    ("", "secrets", {"data": {"a": "YQ=="}}),
    ("", "namespaces", {"spec": {"finalizers": ["kubernetes"]}}),
    ("", "serviceaccounts", {}),
    ("", "nodes", {"spec": {"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}}),
    ("", "services", {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}),
    ("", "services", {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
    ("", "services", {"spec": {"type": "ExternalName", "externalName": "a.example."}}),
    ("", "endpoints", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
    ("", "events", {"involvedObject": {"namespace": "n"}}),
    ("", "events", {"metadata": {"namespace": "default"}, "involvedObject": {}}),
    ("apps", "deployments", {"spec": WORKLOAD}),
    ("apps", "replicasets", {"spec": WORKLOAD}),
    ("apps", "daemonsets", {"spec": WORKLOAD}),
    ("apps", "statefulsets", {"spec": WORKLOAD}),
    ("coordination.k8s.io", "leases", {"spec": {"leaseDurationSeconds": 1}}),
    (
        "discovery.k8s.io",
        "endpointslices",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]},
    ),
    (RBAC, "roles", {"metadata": {"name": "system:x"}, "rules": []}),
    (RBAC, "clusterroles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
    (RBAC, "rolebindings", {"roleRef": {"kind": "Role", "name": "r"}}),
    ("batch", "jobs", {"spec": {"manualSelector": True, "selector": SELECTOR, "template": NEVER}}),
    (
        "batch",
        "cronjobs",
        {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": NEVER}}}},
    ),
    (
        "autoscaling",
        "horizontalpodautoscalers",
        {
            "spec": {
                "maxReplicas": 1,
                "scaleTargetRef": {"apiVersion": "g/v1", "kind": "D", "name": "d"},
            }
        },
    ),
    ("storage.k8s.io", "storageclasses", {"provisioner": "p"}),
]


@pytest.mark.parametrize(("group", "plural", "document"), SOUND)
def test_a_sound_object_passes_and_may_stay_as_it_is(
    group: str, plural: str, document: dict[str, Any]
) -> None:
    assert causes(group, plural, document) == []
    assert causes(group, plural, document, document) == []


def test_every_kind_checks_its_metadata() -> None:
    for kind in builtin.all():
        if not kind.stored:
            continue
        metadata = {"labels": {"a b": "c"}, "namespace": "n" if kind.namespaced else ""}
        # events look at their metadata last
        about = {"involvedObject": {"namespace": "n"}}
        document = {"metadata": {"name": "x", **metadata}, **about}
        fields = [cause.field for cause in kind.check(document, None, "")]
        assert "metadata.labels" in fields, kind.plural
        assert "metadata.namespace" not in fields, kind.plural
        document["metadata"]["namespace"] = "" if kind.namespaced else "n"
        document["involvedObject"]["namespace"] = ""
        fields = [cause.field for cause in kind.check(document, None, "")]
        assert "metadata.namespace" in fields, kind.plural


# kinds that read the name last, and only where all else is sound
SPECS = {
    "certificatesigningrequests": {
        "request": request("x"),
        "signerName": "a.b/s",
        "usages": ["client auth"],
    }
}


def test_the_name_check_of_a_kind_is_the_one_that_its_check_uses() -> None:
    for kind in builtin.all():
        if not kind.stored or kind.name_check is None:
            continue
        for name in ("a.b", "A", "1a", "a/b", "a" * 60):
            metadata = {"name": name, "namespace": "n" if kind.namespaced else ""}
            document = {"metadata": metadata, "spec": SPECS.get(kind.plural, {})}
            found = [c for c in kind.check(document, None, "") if c.field == "metadata.name"]
            assert bool(found) == bool(kind.name_check(name)), (kind.plural, name)


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}

METADATA = [
    ({"name": ""}, [("metadata.name", "Required value: name or generateName is required")]),
    ({"namespace": ""}, [("metadata.namespace", "Required value")]),
    (
        {"labels": {"a": "b c"}},
        [
            (
                "metadata.labels",
                'Invalid value: "b c": a valid label must be an empty string or consist of '
                "alphanumeric characters, '-', '_' or '.', and must start and end with an "
                "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
                "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            )
        ],
    ),
    ({"annotations": {"Aa/B": "x"}}, []),
    (
        {"annotations": {"a": "x" * 256 * 1024}},
        [("metadata.annotations", "Too long: may not be more than 262144 bytes")],
    ),
    ({"annotations": {"a": "x" * (256 * 1024 - 1)}}, []),
    (
        {"ownerReferences": [{}]},
        [
            ("metadata.ownerReferences[0].apiVersion", "Required value: must not be empty"),
            ("metadata.ownerReferences[0].kind", "Required value: must not be empty"),
            ("metadata.ownerReferences[0].name", "Required value: must not be empty"),
            ("metadata.ownerReferences[0].uid", "Required value: must not be empty"),
        ],
    ),
    (
        {"ownerReferences": [{**OWNER, "apiVersion": "a/b/c"}]},
        [
            (
                "metadata.ownerReferences[0].apiVersion",
                'Invalid value: "a/b/c": must be <group>/<version> or <version>',
            )
        ],
    ),
    (
        {"ownerReferences": [{**OWNER, "kind": "Event"}]},
        [
            (
                "metadata.ownerReferences[0]",
                'Invalid value: {"apiVersion":"v1","kind":"Event","name":"p","uid":"u"}: '
                "/v1, Kind=Event is disallowed from being an owner",
            )
        ],
    ),
    ({"ownerReferences": [{**OWNER, "controller": True}, OWNER]}, []),
    (
        {"finalizers": ["a b"]},
        [
            (
                "metadata.finalizers",
                "Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', "
                "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',"
                "  or 'my.name',  or '123-abc', regex used for validation is "
                "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
            ("metadata.finalizers[0]", f'Invalid value: "a b": {NOT_STANDARD}'),
        ],
    ),
    (
        {"finalizers": ["a.b/c", "kubernetes", "mine"]},
        [("metadata.finalizers[2]", f'Invalid value: "mine": {NOT_STANDARD}')],
    ),
    (
        {"finalizers": ["orphan", "foregroundDeletion"]},
        [
            (
                "metadata.finalizers",
                'Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
                "foregroundDeletion cannot be both set",
            )
        ],
    ),
    ({"generateName": "a-"}, []),
]


@pytest.mark.parametrize(("metadata", "expected"), METADATA)
def test_metadata(metadata: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes("", "configmaps", {"metadata": metadata}) == expected


def test_finalizers_without_a_domain_are_for_kinds_that_apimachinery_checks() -> None:
    lease = {"metadata": {"finalizers": ["mine"]}, "spec": {"holderIdentity": "a"}}
    assert causes("coordination.k8s.io", "leases", lease) == []


def test_only_one_owner_controls() -> None:
    owners = [{**OWNER, "controller": True}, {**OWNER, "name": "q", "controller": True}]
    ((field, message),) = causes("", "configmaps", {"metadata": {"ownerReferences": owners}})
    assert field == "metadata.ownerReferences"
    assert message.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for '
        "Pod/p and Pod/q"
    )


def test_an_object_that_is_going_takes_no_new_finalizers() -> None:
    going = {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["a/b"]}}
    more = copy.deepcopy(going)
    more["metadata"]["finalizers"] = ["a/b", "c/d", "c/c"]
    assert causes("", "configmaps", more, going) == [
        (
            "metadata.finalizers",
            "Forbidden: no new finalizers can be added if the object is being deleted, found new "
            'finalizers []string{"c/c", "c/d"}',
        )
    ]
    assert causes("", "configmaps", going, more) == []
    assert causes("", "configmaps", more, {"metadata": {}}) == []


UNMATCHED = "`selector` does not match template `labels`"
ALWAYS = 'Unsupported value: "Never": supported values: "Always"'
OTHER = {"matchLabels": {"app": "b"}}

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}

WORKLOADS = [
    (
        "deployments",
        {"template": TEMPLATE},
        [
            ("spec.selector", "Required value"),
            ("spec.template.metadata.labels", f'Invalid value: {{"app":"a"}}: {UNMATCHED}'),
        ],
    ),
    (
        "deployments",
        {**WORKLOAD, "selector": OTHER},
        [("spec.template.metadata.labels", f'Invalid value: {{"app":"a"}}: {UNMATCHED}')],
    ),
    (
        "deployments",
        {**WORKLOAD, "selector": {}},
        [("spec.selector", "Invalid value: {}: empty selector is invalid for deployment")],
    ),
    (
        "deployments",
        {**WORKLOAD, "selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
        [
            (
                "spec.selector.matchExpressions[0].operator",
                'Invalid value: "Near": not a valid selector operator',
            ),
            (
                "spec.selector",
                'Invalid value: {"matchExpressions":[{"key":"a","operator":"Near"}]}: '
                "invalid label selector",
            ),
        ],
    ),
    (
        "deployments",
        {**WORKLOAD, "replicas": -1},
        [("spec.replicas", "Invalid value: -1: must be greater than or equal to 0")],
    ),
    (
        "deployments",
        {**WORKLOAD, "template": NEVER},
        [("spec.template.spec.restartPolicy", ALWAYS)],
    ),
    (
        "deployments",
        {**WORKLOAD, "minReadySeconds": 600},
        [
            (
                "spec.progressDeadlineSeconds",
                "Invalid value: 600: must be greater than minReadySeconds",
            )
        ],
    ),
    (
        "deployments",
        {**WORKLOAD, "strategy": {"type": "Recreate", "rollingUpdate": {}}},
        [
            (
                "spec.strategy.rollingUpdate",
                "Forbidden: may not be specified when strategy `type` is 'Recreate'",
            )
        ],
    ),
    (
        "deployments",
        {**WORKLOAD, "strategy": {"type": "Wave"}},
        [
            (
                "spec.strategy",
                'Unsupported value: {"Type":"Wave","RollingUpdate":null}: supported values: '
                '"Recreate", "RollingUpdate"',
            )
        ],
    ),
    (
        "deployments",
        {**WORKLOAD, "strategy": {"rollingUpdate": {"maxUnavailable": "0%", "maxSurge": 0}}},
        [
            (
                "spec.strategy.rollingUpdate.maxUnavailable",
                'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
            )
        ],
    ),
    (
        "deployments",
        {**WORKLOAD, "strategy": {"rollingUpdate": {"maxUnavailable": "101%", "maxSurge": "x"}}},
        [
            (
                "spec.strategy.rollingUpdate.maxSurge",
                'Invalid value: "x": a valid percent string must be a numeric string followed by '
                "an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            (
                "spec.strategy.rollingUpdate.maxUnavailable",
                'Invalid value: "101%": must not be greater than 100%',
            ),
        ],
    ),
    (
        "deployments",
        {"selector": SELECTOR, "template": {"metadata": {"labels": {"app": "a"}}}},
        [
            ("spec.template.spec.containers", "Required value"),
        ],
    ),
    (
        "replicasets",
        {**WORKLOAD, "selector": OTHER, "minReadySeconds": -2},
        [
            ("spec.minReadySeconds", "Invalid value: -2: must be greater than or equal to 0"),
            ("spec.template.metadata.labels", f'Invalid value: {{"app":"a"}}: {UNMATCHED}'),
        ],
    ),
    (
        "daemonsets",
        {**WORKLOAD, "selector": {}},
        [("spec.selector", "Invalid value: {}: empty selector is invalid for daemonset")],
    ),
    (
        "daemonsets",
        {**WORKLOAD, "updateStrategy": {"type": "Wave"}},
        [
            (
                "spec.updateStrategy",
                'Unsupported value: {"Type":"Wave","RollingUpdate":null}: supported values: '
                '"RollingUpdate", "OnDelete"',
            )
        ],
    ),
    (
        "daemonsets",
        {**WORKLOAD, "updateStrategy": {"rollingUpdate": {"maxSurge": 1}}},
        [
            (
                "spec.updateStrategy.rollingUpdate.maxSurge",
                "Invalid value: 1: may not be set when maxUnavailable is non-zero",
            )
        ],
    ),
    (
        "daemonsets",
        {**WORKLOAD, "updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
        [
            (
                "spec.updateStrategy.rollingUpdate.maxUnavailable",
                "Required value: cannot be 0 when maxSurge is 0",
            )
        ],
    ),
    (
        "statefulsets",
        {**WORKLOAD, "podManagementPolicy": "Wild", "updateStrategy": {"type": "Wave"}},
        [
            (
                "spec.podManagementPolicy",
                "Invalid value: \"Wild\": must be 'OrderedReady' or 'Parallel'",
            ),
            (
                "spec.updateStrategy",
                'Invalid value: {"Type":"Wave","RollingUpdate":null}: must be \'RollingUpdate\' '
                "or 'OnDelete'",
            ),
        ],
    ),
    (
        "statefulsets",
        {
            **WORKLOAD,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}},
        },
        [
            (
                "spec.updateStrategy.rollingUpdate.partition",
                "Invalid value: -1: must be greater than or equal to 0",
            )
        ],
    ),
]


@pytest.mark.parametrize(("plural", "spec", "expected"), WORKLOADS)
def test_workloads(plural: str, spec: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes("apps", plural, {"spec": spec}) == expected


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "daemonsets"])
def test_a_selector_stays(plural: str) -> None:
    template = {**TEMPLATE, "metadata": {"labels": {"app": "a", "b": "c"}}}
    new = {"selector": {"matchLabels": {"b": "c"}}, "template": template}
    assert causes("apps", plural, {"spec": new}, {"spec": WORKLOAD}) == [
        ("spec.selector", 'Invalid value: {"matchLabels":{"b":"c"}}: field is immutable')
    ]


def test_a_stateful_set_changes_in_few_fields() -> None:
    old = {"spec": {**WORKLOAD, "serviceName": "a"}}
    assert causes("apps", "statefulsets", {"spec": {**old["spec"], "replicas": 3}}, old) == []
    assert causes("apps", "statefulsets", {"spec": WORKLOAD}, old) == [
        (
            "spec",
            "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
            "'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )
    ]


def test_the_counts_of_a_status_fit_together() -> None:
    status = {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "updatedReplicas": -1}
    document = {"spec": WORKLOAD, "status": status}
    bound = "cannot be greater than status.replicas"
    assert causes("apps", "deployments", document, document, "status") == [
        ("status.updatedReplicas", "Invalid value: -1: must be greater than or equal to 0"),
        ("status.readyReplicas", f"Invalid value: 2: {bound}"),
        ("status.availableReplicas", f"Invalid value: 3: {bound}"),
        ("status.availableReplicas", "Invalid value: 3: cannot be greater than readyReplicas"),
    ]


PORT = {"port": 80}

SERVICES = [
    ({}, [("spec.ports", "Required value")]),
    (
        {"ports": [PORT, {"port": 81}]},
        [
            ("spec.ports[0].name", "Required value"),
            ("spec.ports[1].name", "Required value"),
        ],
    ),
    (
        {"ports": [{**PORT, "name": "a"}, {**PORT, "name": "a"}]},
        [
            ("spec.ports[1].name", 'Duplicate value: "a"'),
            (
                "spec.ports[1]",
                'Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,'
                '"TargetPort":0,"NodePort":0}',
            ),
        ],
    ),
    (
        {"ports": [{"port": 0, "protocol": "x", "targetPort": "-"}]},
        [
            ("spec.ports[0].port", "Invalid value: 0: must be between 1 and 65535, inclusive"),
            (
                "spec.ports[0].protocol",
                'Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"',
            ),
            (
                "spec.ports[0].targetPort",
                'Invalid value: "-": must contain at least one letter (a-z)',
            ),
            (
                "spec.ports[0].targetPort",
                'Invalid value: "-": must not begin or end with a hyphen',
            ),
        ],
    ),
    (
        {"ports": [PORT], "type": "Mesh"},
        [
            (
                "spec.type",
                'Unsupported value: "Mesh": supported values: "ClusterIP", "ExternalName", '
                '"LoadBalancer", "NodePort"',
            )
        ],
    ),
    (
        {"ports": [PORT], "type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
        [
            (
                "spec.clusterIPs[0]",
                "Invalid value: \"None\": may not be set to 'None' for NodePort services",
            )
        ],
    ),
    (
        {"ports": [{**PORT, "nodePort": 30000}]},
        [("spec.ports[0].nodePort", "Forbidden: may not be used when `type` is 'ClusterIP'")],
    ),
    ({"type": "ExternalName"}, [("spec.externalName", "Required value")]),
    (
        {"type": "ExternalName", "externalName": "a", "clusterIPs": ["1.1.1.1"]},
        [("spec.clusterIPs", "Forbidden: may not be set for ExternalName services")],
    ),
    (
        {"ports": [PORT], "externalIPs": ["127.0.0.1", "x"]},
        [
            (
                "spec.externalIPs[0]",
                'Invalid value: "127.0.0.1": may not be in the loopback range '
                "(127.0.0.0/8, ::1/128)",
            ),
            (
                "spec.externalIPs[1]",
                'Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
            ),
        ],
    ),
    (
        {"ports": [PORT], "sessionAffinity": "Cookie"},
        [
            (
                "spec.sessionAffinity",
                'Unsupported value: "Cookie": supported values: "ClientIP", "None"',
            )
        ],
    ),
    (
        {
            "ports": [PORT],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}},
        },
        [
            (
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                "Invalid value: 0: must be greater than 0 and less than 86400",
            )
        ],
    ),
    (
        {"ports": [PORT], "externalTrafficPolicy": "Local"},
        [
            (
                "spec.externalTrafficPolicy",
                'Invalid value: "Local": may only be set for externally-accessible services',
            )
        ],
    ),
    (
        {"ports": [PORT], "type": "LoadBalancer", "externalTrafficPolicy": "Local"},
        [("spec.healthCheckNodePort", "Required value")],
    ),
    (
        {"ports": [PORT], "internalTrafficPolicy": "Far"},
        [
            (
                "spec.internalTrafficPolicy",
                'Unsupported value: "Far": supported values: "Cluster", "Local"',
            )
        ],
    ),
    (
        {"ports": [PORT], "loadBalancerSourceRanges": ["10.0.0.0/33"]},
        [
            (
                "spec.LoadBalancerSourceRanges",
                "Forbidden: may only be used when `type` is 'LoadBalancer'",
            ),
            (
                "spec.LoadBalancerSourceRanges[0]",
                'Invalid value: "10.0.0.0/33": must be a valid CIDR value, '
                "(e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ),
        ],
    ),
    (
        {"ports": [PORT], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]},
        [
            (
                "spec.clusterIPs",
                'Invalid value: ["10.0.0.2"]: first value must match `clusterIP`',
            )
        ],
    ),
    (
        {"ports": [PORT], "clusterIP": "fd::1", "clusterIPs": ["fd::1"], "ipFamilies": ["IPv4"]},
        [
            (
                "spec.clusterIPs[0]",
                'Invalid value: "fd::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
            )
        ],
    ),
]


@pytest.mark.parametrize(("spec", "expected"), SERVICES)
def test_services(spec: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes("", "services", {"spec": spec}) == expected


def test_a_service_is_named_like_a_host() -> None:
    ((field, message),) = causes(
        "", "services", {"metadata": {"name": "1a"}, "spec": {"ports": [PORT]}}
    )
    assert field == "metadata.name"
    assert message.startswith('Invalid value: "1a": a DNS-1035 label must consist of')


def test_a_cluster_address_stays() -> None:
    def at(*addresses: str) -> dict[str, Any]:
        first = addresses[0] if addresses else ""
        return {"spec": {"ports": [PORT], "clusterIP": first, "clusterIPs": list(addresses)}}

    old = at("10.0.0.1")
    assert causes("", "services", at("10.0.0.2"), old) == [
        ("spec.clusterIPs[0]", 'Invalid value: ["10.0.0.2"]: may not change once set')
    ]
    assert causes("", "services", at(), old) == [
        ("spec.clusterIPs[0]", "Invalid value: null: primary clusterIP can not be unset")
    ]
    assert causes("", "services", at("10.0.0.1", "fd::1"), old) == []
    external = {"spec": {"type": "ExternalName", "externalName": "a"}}
    assert causes("", "services", external, old) == []


def encoded(count: int) -> str:
    return base64.b64encode(b"x" * count).decode()


MEBIBYTE = 1024 * 1024
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": {"a b": ""}}, [("data[a b]", f'Invalid value: "a b": {CONFIG_KEY}')]),
        (
            {"data": {"a": ""}, "binaryData": {"a": ""}},
            [("data[a]", 'Invalid value: "a": duplicate of key present in binaryData')],
        ),
        ({"data": {"a": "x" * MEBIBYTE}}, []),
        (
            {"data": {"a": "x" * MEBIBYTE}, "binaryData": {"b": encoded(1)}},
            [("", "Too long: may not be more than 1048576 bytes")],
        ),
        ({"data": {"a": "é" * (MEBIBYTE // 2)}}, []),
        (
            {"data": {"a": "é" * (MEBIBYTE // 2) + "x"}},
            [("", "Too long: may not be more than 1048576 bytes")],
        ),
    ],
)
def test_config_maps(document: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes("", "configmaps", document) == expected


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
def test_a_key_is_not_empty(plural: str) -> None:
    wanted = [("data[]", f'Invalid value: "": {CONFIG_KEY}')]
    assert causes("", plural, {"data": {"": "eA=="}}) == wanted


IMMUTABLE = "Forbidden: field is immutable when `immutable` is set"


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
def test_an_immutable_object_stays(plural: str) -> None:
    old = {"immutable": True, "data": {"a": "YQ=="}}
    assert causes("", plural, {"data": {"a": "YQ=="}}, old) == [("immutable", IMMUTABLE)]
    changed = {"immutable": True, "data": {"a": "YWI="}}
    assert causes("", plural, changed, old) == [("data", IMMUTABLE)]
    labelled = {**old, "metadata": {"labels": {"a": "b"}}}
    assert causes("", plural, labelled, old) == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"data": {"a": encoded(MEBIBYTE)}}, []),
        (
            {"data": {"a": encoded(MEBIBYTE + 1)}},
            [("data", "Too long: may not be more than 1048576 bytes")],
        ),
        (
            {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            [("data[tls.key]", "Required value")],
        ),
        (
            {"type": "kubernetes.io/basic-auth"},
            [("data[username]", "Required value"), ("data[password]", "Required value")],
        ),
        ({"type": "kubernetes.io/basic-auth", "data": {"username": ""}}, []),
        (
            {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}},
            [("data[ssh-privatekey]", "Required value")],
        ),
        (
            {"type": "kubernetes.io/service-account-token"},
            [("metadata.annotations[kubernetes.io/service-account.name]", "Required value")],
        ),
        (
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}},
            [],
        ),
    ],
)
def test_secrets(document: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes("", "secrets", document) == expected


def test_a_registry_secret_must_hold_json() -> None:
    document = {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "eA=="}}
    ((field, message),) = causes("", "secrets", document)
    assert field == "data[.dockercfg]"
    assert message.startswith('Invalid value: "<secret contents redacted>": ')


def test_a_secrets_type_stays() -> None:
    assert causes("", "secrets", {"type": "a"}, {"type": "b"}) == [
        ("type", 'Invalid value: "a": field is immutable')
    ]


TAINT = {"key": "a", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"spec": {"taints": [TAINT, {**TAINT, "value": "b"}]}},
            [
                (
                    "metadata.taints[1]",
                    'Duplicate value: {"key":"a","effect":"NoSchedule","value":"b"}: taints must '
                    "be unique by key and effect pair",
                )
            ],
        ),
        (
            {"spec": {"taints": [{"key": "a"}]}},
            [("metadata.taints[0].effect", "Required value")],
        ),
        (
            {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}},
            [
                (
                    "spec.podCIDRs",
                    'Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one '
                    "CIDR for each IP family",
                )
            ],
        ),
        (
            {"status": {"capacity": {"cpu": "-1"}, "allocatable": {"pods": "1500m"}}},
            [
                (
                    "status.capacity.cpu",
                    'Invalid value: "-1": must be greater than or equal to 0',
                ),
                ("status.allocatable.pods", 'Invalid value: "1500m": must be an integer'),
            ],
        ),
    ],
)
def test_nodes(document: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes("", "nodes", document) == expected


def test_what_a_node_keeps() -> None:
    old = {"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "a"}}
    fixed = 'except from "" to valid'
    assert causes("", "nodes", {"spec": {}}, old) == [
        ("spec.podCIDRs", f"Forbidden: node updates may not change podCIDR {fixed}"),
        ("spec.providerID", f"Forbidden: node updates may not change providerID {fixed}"),
    ]
    assert causes("", "nodes", old, {"spec": {}}) == []
    address = {"type": "InternalIP", "address": "10.0.0.1"}
    status = {"status": {"addresses": [address, address]}}
    assert causes("", "nodes", status, {}) == [
        ("status.addresses[1]", 'Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}')
    ]


def test_namespaces() -> None:
    label = "must not contain dots"
    assert causes("", "namespaces", {"metadata": {"name": "a.b"}}) == [
        ("metadata.name", f'Invalid value: "a.b": {label}')
    ]
    assert causes("", "namespaces", {"spec": {"finalizers": ["mine"]}}) == [
        (
            "spec.finalizers",
            'Invalid value: "mine": name is neither a standard finalizer name nor is it fully '
            "qualified",
        )
    ]
    ending = {"status": {"phase": "Terminating"}}
    assert causes("", "namespaces", ending, {}, "status") == [
        (
            "status.Phase",
            "Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty",
        )
    ]


def test_endpoints() -> None:
    subset = {
        "addresses": [{"ip": "169.254.1.1"}],
        "ports": [{"port": 1}, {"port": 0, "name": "B"}],
    }
    found = causes("", "endpoints", {"subsets": [{}, subset]})
    assert found[:3] == [
        ("subsets[0]", "Required value: must specify `addresses` or `notReadyAddresses`"),
        (
            "subsets[1].addresses[0].ip",
            'Invalid value: "169.254.1.1": may not be in the link-local range '
            "(169.254.0.0/16, fe80::/10)",
        ),
        ("subsets[1].ports[0].name", "Required value"),
    ]
    assert [field for field, _ in found[3:]] == [
        "subsets[1].ports[1].name",
        "subsets[1].ports[1].port",
    ]


def test_endpoint_slices() -> None:
    slices = ("discovery.k8s.io", "endpointslices")
    endpoints = [{"addresses": []}, {"addresses": ["fd::1", "224.0.0.1"]}]
    document = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{}, {}]}
    assert causes(*slices, document) == [
        ("endpoints[1].addresses[0]", 'Invalid value: "fd::1": must be an IPv4 address'),
        (
            "endpoints[1].addresses[1]",
            'Invalid value: "224.0.0.1": may not be in the link-local multicast range '
            "(224.0.0.0/24, ff02::/10)",
        ),
        ("ports[1].name", 'Duplicate value: ""'),
        ("endpoints[0].addresses", "Required value"),
    ]
    assert causes(*slices, {}) == [("addressType", "Required value")]
    assert causes(*slices, {"addressType": "IPv6"}, {"addressType": "IPv4"}) == [
        ("addressType", "Invalid value: null: field is immutable")
    ]
    assert causes(
        *slices, {"addressType": "IPv4", "endpoints": [{"addresses": ["010.0.0.1"]}]}
    ) == [("endpoints[0].addresses[0]", 'Invalid value: "010.0.0.1": must not have leading 0s')]
    many = [{"addresses": ["10.0.0.1"]}] * 1001
    assert causes(*slices, {"addressType": "IPv4", "endpoints": many}) == [
        ("endpoints", "Too many: 1001: must have at most 1000 items")
    ]


def test_the_hints_and_names_of_endpoint_slices() -> None:
    slices = ("discovery.k8s.io", "endpointslices")
    targets = [{"name": "a"}, {"name": "a"}, {"name": "_"}]
    document = {
        "addressType": "FQDN",
        "endpoints": [
            {"addresses": ["a.b."], "hints": {"forZones": targets}},
            {"addresses": ["a"], "hints": {"forNodes": targets}},
            {"addresses": ["a.b"], "hints": {"forZones": [{"name": str(n)} for n in range(9)]}},
        ],
    }
    found = causes(*slices, document)
    assert [field for field, _text in found] == [
        "endpoints[0].hints.forZones[1].name",
        "endpoints[0].hints.forZones[2].name",
        "endpoints[1].addresses[0]",
        "endpoints[1].hints.forNodes[1].name",
        "endpoints[1].hints.forNodes[2].name",
        "endpoints[2].hints.forZones",
    ]
    detail = "should be a domain with at least two segments separated by dots"
    assert found[2][1] == f'Invalid value: "a": {detail}'
    assert found[-1][1] == "Too many: 9: must have at most 8 items"


def test_the_topology_of_endpoints_is_dropped() -> None:
    kind = kind_of("discovery.k8s.io", "endpointslices")
    endpoint = {"addresses": ["10.0.0.1"], "deprecatedTopology": {"a": "b"}}
    document = {"endpoints": [endpoint]}
    bare = {"endpoints": [{"addresses": ["10.0.0.1"]}]}
    assert kind.prepare(document, None, "") == bare
    assert kind.prepare(document, document, "") == document
    assert kind.prepare(document, bare, "") == bare


def test_leases_keep_nothing_of_coordinated_election() -> None:
    kind = kind_of("coordination.k8s.io", "leases")
    asked = {"spec": {"holderIdentity": "h", "strategy": "S", "preferredHolder": "p"}}
    held = {"spec": {"holderIdentity": "h"}}
    assert kind.prepare(asked, None, "") == held
    assert kind.prepare(asked, held, "") == held
    assert kind.prepare(asked, asked, "") == asked
    assert kind.prepare(held, None, "") is held


def test_leases() -> None:
    spec = {"leaseDurationSeconds": 0, "leaseTransitions": -1}
    assert causes("coordination.k8s.io", "leases", {"spec": spec}) == [
        ("spec.leaseDurationSeconds", "Invalid value: 0: must be greater than 0"),
        ("spec.leaseTransitions", "Invalid value: -1: must be greater than or equal to 0"),
    ]


def test_events_stand_beside_what_they_are_about() -> None:
    other = {"involvedObject": {"namespace": "other"}}
    wrong = ("involvedObject.namespace", 'Invalid value: "other": does not match event.namespace')
    assert causes("", "events", other) == [wrong]
    assert causes("", "events", {"involvedObject": {}}) == [
        ("involvedObject.namespace", 'Invalid value: "": does not match event.namespace')
    ]


def test_roles() -> None:
    rules = [{}, {"verbs": ["get"], "nonResourceURLs": ["/a"], "resources": ["pods"]}]
    assert causes(RBAC, "roles", {"rules": rules}) == [
        ("rules[0].apiGroups", "Required value: resource rules must supply at least one api group"),
        ("rules[0].resources", "Required value: resource rules must supply at least one resource"),
        (
            "rules[1].nonResourceURLs",
            'Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
        ),
        (
            "rules[1].nonResourceURLs",
            'Invalid value: ["/a"]: rules cannot apply to both regular resources and non-resource '
            "URLs",
        ),
        ("rules[0].verbs", "Required value"),
    ]
    assert causes(RBAC, "clusterroles", {"aggregationRule": {}}) == [
        (
            "aggregationRule.clusterRoleSelectors",
            "Required value: at least one clusterRoleSelector required if aggregationRule is "
            "non-nil",
        )
    ]
    wrong = {"matchExpressions": [{"key": "a", "operator": "Is"}]}
    path = "aggregationRule.clusterRoleSelectors[1]"
    aggregated = {"aggregationRule": {"clusterRoleSelectors": [{}, wrong]}}
    assert causes(RBAC, "clusterroles", aggregated) == [
        (
            f"{path}.matchExpressions[0].operator",
            'Invalid value: "Is": not a valid selector operator',
        ),
        (path, "Invalid value: null: invalid label selector."),
    ]
    assert causes(RBAC, "roles", {"metadata": {"name": "a/b"}}) == [
        ("metadata.name", "Invalid value: \"a/b\": may not contain '/'")
    ]


def test_bindings() -> None:
    subjects = [
        {"kind": "Robot", "name": "r"},
        {"kind": "ServiceAccount", "name": "s", "apiGroup": "x"},
        {"kind": "User", "name": "", "apiGroup": "x"},
    ]
    role = {"kind": "Role", "name": "r", "apiGroup": "x"}
    assert causes(RBAC, "clusterrolebindings", {"roleRef": role, "subjects": subjects}) == [
        ("roleRef.apiGroup", f'Unsupported value: "x": supported values: "{RBAC}"'),
        ("roleRef.kind", 'Unsupported value: "Role": supported values: "ClusterRole"'),
        (
            "subjects[0].kind",
            'Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ),
        ("subjects[1].apiGroup", 'Unsupported value: "x": supported values: ""'),
        ("subjects[1].namespace", "Required value"),
        ("subjects[2].apiGroup", f'Unsupported value: "x": supported values: "{RBAC}"'),
        ("subjects[2].name", "Required value"),
    ]


def test_a_binding_keeps_its_role() -> None:
    old = {"roleRef": {"kind": "Role", "name": "a"}}
    new = {"roleRef": {"kind": "Role", "name": "b"}}
    assert causes(RBAC, "rolebindings", new, old) == [
        (
            "roleRef",
            f'Invalid value: {{"APIGroup":"{RBAC}","Kind":"Role","Name":"b"}}: cannot change '
            "roleRef",
        )
    ]


def test_a_cron_jobs_name_leaves_room_for_its_jobs() -> None:
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": NEVER}}}
    assert causes("batch", "cronjobs", {"metadata": {"name": "a" * 53}, "spec": spec}) == [
        ("metadata.name", f'Invalid value: "{"a" * 53}": must be no more than 52 characters')
    ]


def test_cron_jobs() -> None:
    template = {"spec": {"template": NEVER, "manualSelector": True, "backoffLimit": -1}}
    spec = {"schedule": "* * *", "jobTemplate": template, "concurrencyPolicy": "Queue"}
    assert causes("batch", "cronjobs", {"spec": spec}) == [
        (
            "spec.schedule",
            'Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]',
        ),
        (
            "spec.concurrencyPolicy",
            'Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            "spec.jobTemplate.spec.backoffLimit",
            "Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "spec.jobTemplate.spec.manualSelector",
            'Unsupported value: true: supported values: "nil", "false"',
        ),
    ]


def test_a_new_job_selects_its_own_pods() -> None:
    kind = kind_of("batch", "jobs")
    document = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": TEMPLATE}}
    prepared = kind.prepare(document, None, "")
    assert prepared["spec"] == {
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
        "template": {
            "metadata": {
                "labels": {
                    "app": "a",
                    "batch.kubernetes.io/controller-uid": "u",
                    "batch.kubernetes.io/job-name": "j",
                    "controller-uid": "u",
                    "job-name": "j",
                }
            },
            "spec": TEMPLATE["spec"],
        },
    }
    assert document["spec"] == {"template": TEMPLATE}
    manual = {"metadata": {}, "spec": {"manualSelector": True}}
    assert kind.prepare(manual, None, "")["spec"] == manual["spec"]
    assert kind.prepare(document, document, "") == document


V2 = {
    "kind": "HorizontalPodAutoscaler",
    "apiVersion": "autoscaling/v2",
    "metadata": {"name": "x", "annotations": {"mine": "1"}},
    "spec": {
        "maxReplicas": 3,
        "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "behavior": {"scaleUp": {"selectPolicy": "Max"}},
        "metrics": [
            {
                "type": "Pods",
                "pods": {
                    "metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "AverageValue", "averageValue": "5"},
                },
            },
            {
                "type": "Object",
                "object": {
                    "describedObject": {"kind": "Service", "name": "s"},
                    "metric": {"name": "r"},
                    "target": {"type": "Value", "value": "7"},
                },
            },
            {
                "type": "External",
                "external": {
                    "metric": {"name": "e", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "AverageValue", "averageValue": "9"},
                },
            },
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 70},
                },
            },
        ],
    },
    "status": {
        "currentReplicas": 1,
        "conditions": [{"type": "AbleToScale", "status": "True"}],
        "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 5}}}
        ],
    },
}


def test_an_autoscaler_in_v1_says_the_rest_in_annotations_and_comes_back_whole() -> None:
    kind = kind_of("autoscaling", "horizontalpodautoscalers")
    version = kind.version("v1")
    assert version is not None and version.from_storage and version.to_storage
    old = version.from_storage(V2)
    assert old["apiVersion"] == "autoscaling/v1"
    assert old["spec"] == {
        "maxReplicas": 3,
        "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "targetCPUUtilizationPercentage": 70,
    }
    assert old["status"] == {"currentReplicas": 1, "currentCPUUtilizationPercentage": 5}
    assert old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"] == (
        '[{"type":"Pods","pods":{"metricName":"q","selector":{"matchLabels":{"a":"b"}},'
        '"targetAverageValue":"5"}},{"type":"Object","object":{"target":{"kind":"Service",'
        '"name":"s"},"metricName":"r","targetValue":"7"}},{"type":"External","external":'
        '{"metricName":"e","metricSelector":{"matchLabels":{"a":"b"}},"targetAverageValue":"9"}}]'
    )
    decode.admit(version.definition, copy.deepcopy(old), kind.name, "v1")
    assert version.to_storage(old) == V2


def test_causes_read_as_upstreams_error() -> None:
    kind = kind_of("apps", "deployments")
    found = tuple(kind.check(admitted(kind, {"spec": {"template": TEMPLATE}}), None, ""))
    error = errors.invalid(kind.group, kind.name, "x", found)
    assert error.message == (
        'Deployment.apps "x" is invalid: [spec.selector: Required value, '
        'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match '
        "template `labels`]"
    )
    assert [cause.reason for cause in found] == ["FieldValueRequired", "FieldValueInvalid"]


def test_the_reasons_are_upstreams() -> None:
    spec = {"ports": [PORT, {"port": 80}], "type": "Mesh", "externalTrafficPolicy": "x"}
    kind = kind_of("", "services")
    found = kind.check(admitted(kind, {"spec": spec}), None, "")
    assert {cause.reason for cause in found} == {
        "FieldValueRequired",
        "FieldValueDuplicate",
        "FieldValueNotSupported",
        "FieldValueInvalid",
    }


def test_a_new_namespace_is_active_and_kept_by_its_finalizer() -> None:
    kind = kind_of("", "namespaces")
    given = {"metadata": {"name": "a"}, "spec": {"finalizers": ["b/c"]}, "status": {"phase": "x"}}
    assert kind.prepare(given, None, "") == {
        "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
        "spec": {"finalizers": ["b/c", "kubernetes"]},
        "status": {"phase": "Active"},
    }
    assert given["status"] == {"phase": "x"}
    old = {"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}
    assert kind.prepare({"metadata": {"name": "a"}}, old, "")["spec"] == old["spec"]
    finalized = {"metadata": {"name": "a"}, "spec": {}}
    assert kind.prepare(finalized, old, "finalize") == finalized


def test_the_strings_of_a_secret_become_data() -> None:
    kind = kind_of("", "secrets")
    given = {"data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "new"}}
    assert kind.prepare(given, None, "") == {"data": {"a": "YQ==", "b": "bmV3"}}
    assert kind.prepare(given, given, "") == {"data": {"a": "YQ==", "b": "bmV3"}}


@pytest.mark.parametrize(
    ("group", "plural", "expected"),
    [
        ("apps", "deployments", {}),
        ("apps", "replicasets", {"replicas": 0}),
        ("apps", "statefulsets", {"replicas": 0, "availableReplicas": 0}),
        ("", "services", {"loadBalancer": {}}),
        ("", "persistentvolumes", {"phase": "Pending"}),
        ("networking.k8s.io", "ingresses", {"loadBalancer": {}}),
    ],
)
def test_a_new_object_has_a_new_status(group: str, plural: str, expected: dict[str, Any]) -> None:
    kind = kind_of(group, plural)
    given = {"metadata": {}, "status": {"bogus": 1}}
    assert kind.prepare(given, None, "")["status"] == expected
    assert kind.prepare(given, given, "status") == given


def test_a_node_registers_with_its_status() -> None:
    given = {"metadata": {}, "status": {"capacity": {"cpu": "1"}}}
    assert kind_of("", "nodes").prepare(given, None, "") == given


def test_an_event_of_the_new_form_says_who_reports_and_why() -> None:
    event = {
        "involvedObject": {"namespace": "n"},
        "eventTime": "2020-01-01T00:00:00.000000Z",
        "reportingComponent": "a.example/b",
        "reportingInstance": "b",
        "action": "Do",
        "reason": "Why",
        "type": "Normal",
    }
    assert causes("", "events", event) == []
    faulty = {**event, "type": "Odd", "action": "", "reason": "x" * 129, "message": "y" * 1025}
    faults = [
        ("action", "Required value"),
        ("reason", 'Invalid value: "": can have at most 128 characters'),
        ("message", 'Invalid value: "": can have at most 1024 characters'),
    ]
    assert causes("", "events", faulty) == faults
    assert causes("", "events", faulty, faulty) == faults
    del event["reportingComponent"]
    assert ("reportingComponent", "Required value") in causes("", "events", event)
    in_system = {**event, "metadata": {"namespace": "kube-system", "name": "A:b"}}
    wrong = ("involvedObject.namespace", 'Invalid value: "": does not match event.namespace')
    assert wrong not in causes("", "events", {**in_system, "involvedObject": {}})
    assert wrong in causes("", "events", {**event, "involvedObject": {}})


EVENT = {
    "regarding": {"kind": "Pod", "namespace": "n", "name": "p"},
    "eventTime": "2020-01-01T00:00:00.000000Z",
    "reportingController": "a.example/b",
    "reportingInstance": "b",
    "action": "Do",
    "reason": "Why",
    "type": "Normal",
}


def of_events(new: dict[str, Any], old: dict[str, Any] | None = None) -> Causes:
    """Returns what is wrong with an event that is written by events.k8s.io."""
    kind = kind_of("events.k8s.io", "events")
    stored = kind.versions[0].to_storage
    assert stored is not None
    before = None if old is None else stored(admitted(kind, old))
    found = kind.check(stored(admitted(kind, new)), before, "")
    return [(cause.field, cause.message) for cause in found]


UNSET = 'Invalid value: "": needs to be unset'


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"type": "Odd"}, [("type", 'Invalid value: "": has invalid value: Odd')]),
        ({"reportingController": ""}, [
            ("reportingController", "Required value"),
            ("reportingController", "Invalid value"),
            ("reportingController", "Invalid value"),
        ]),
        ({"eventTime": None}, [("eventTime", "Required value")]),
        ({"deprecatedFirstTimestamp": "2020-01-01T00:00:00Z"}, [("firstTimestamp", UNSET)]),
        ({"deprecatedLastTimestamp": "2020-01-01T00:00:00Z"}, [("lastTimestamp", UNSET)]),
        ({"deprecatedCount": 1}, [("count", UNSET)]),
        ({"deprecatedSource": {"host": "h"}}, [("source", UNSET)]),
        ({"series": {"count": 1}}, [
            ("series.count", 'Invalid value: "": should be at least 2'),
            ("series.lastObservedTime", "Required value"),
        ]),
    ],
)  # fmt: skip
def test_an_event_of_the_new_group_has_the_new_form_alone(
    fields: dict[str, Any], expected: Causes
) -> None:
    found = of_events({**EVENT, **fields})
    assert [field for field, _text in found] == [field for field, _text in expected]
    for (_field, text), (_same, wanted) in zip(found, expected, strict=True):
        assert text.startswith(wanted)


def test_of_an_event_of_the_new_group_only_the_series_changes() -> None:
    series = {"count": 2, "lastObservedTime": "2020-01-01T00:00:01.000000Z"}
    assert of_events({**EVENT, "series": series}, EVENT) == []
    changed = {"regarding": {"kind": "Node", "namespace": "n"}, "reason": "", "note": "m"}
    found = of_events({**EVENT, **changed}, EVENT)
    empty = '"Name":"","UID":"","APIVersion":"","ResourceVersion":"","FieldPath":""'
    assert found[-4:] == [
        ("involvedObject",
         f'Invalid value: {{"Kind":"Node","Namespace":"n",{empty}}}: field is immutable'),
        ("reason", 'Invalid value: "": field is immutable'),
        ("message", 'Invalid value: "m": field is immutable'),
        ("reason", 'Invalid value: "": field is immutable'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "special"),
    [
        ("10.0.0.1", ""),
        ("fd00::1", ""),
        ("0.0.0.0", "unspecified (0.0.0.0)"),
        ("::", "unspecified (::)"),
        ("127.1.2.3", "loopback range"),
        ("::1", "loopback range"),
        ("169.254.0.1", "link-local range"),
        ("fe80::1", "link-local range"),
        ("febf::1", "link-local range"),
        ("fec0::1", ""),
        ("224.0.0.1", "link-local multicast range"),
        ("224.0.1.1", ""),
        ("ff02::1", "link-local multicast range"),
        ("ff05::1", ""),
        ("x", "must be a valid IP address"),
        ("010.0.0.1", "must be a valid IP address"),
    ],
)
def test_addresses_that_may_stand_for_an_endpoint(address: str, special: str) -> None:
    found = list(address_check.check_not_special("p", address))
    assert len(found) == (1 if special else 0)
    assert all(special in cause.message for cause in found)


@pytest.mark.parametrize(
    ("value", "sound"),
    [
        ("10.0.0.0/8", True),
        ("10.0.0.0/32", True),
        ("10.0.0.0/33", False),
        ("10.0.0.0", False),
        ("10.0.0.0/", False),
        ("10.0.0.0/x", False),
        ("fd::/128", True),
        ("fd::/129", False),
        ("x/8", False),
    ],
)
def test_prefixes(value: str, sound: bool) -> None:
    assert (list(address_check.check_cidr("p", value)) == []) is sound


def test_a_strategy_without_its_bounds_is_refused() -> None:
    strategy = {"type": "RollingUpdate"}
    daemon = workload_check.check_daemon_strategy(strategy, "s")
    assert [cause.message for cause in daemon] == ["Required value"]
    deployment = workload_check.check_deployment_strategy(strategy, "s")
    assert [cause.message for cause in deployment] == [
        "Required value: this should be defaulted and never be nil"
    ]
    on_delete = workload_check.check_daemon_strategy({"type": "OnDelete"}, "s")
    assert list(on_delete) == []


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}},
            [
                (
                    "spec.updateStrategy.rollingUpdate",
                    'Invalid value: {"Partition":0,"MaxUnavailable":null}: only allowed for '
                    "updateStrategy 'RollingUpdate'",
                )
            ],
        ),
        ({"updateStrategy": {"type": "OnDelete"}}, []),
        ({"podManagementPolicy": "Parallel"}, []),
        (
            {"ordinals": {"start": -1}},
            [("spec.ordinals.start", "Invalid value: -1: must be greater than or equal to 0")],
        ),
        (
            {"selector": {}},
            [
                (
                    "spec.selector",
                    "Invalid value: {}: empty selector is invalid for statefulset",
                )
            ],
        ),
    ],
)
def test_policies_of_stateful_sets(
    policies: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert causes("apps", "statefulsets", {"spec": {**WORKLOAD, **policies}}) == expected


def test_containers_of_stateful_sets_mount_their_claims_by_name() -> None:
    mount = {"name": "data", "mountPath": "/data"}
    (first, *_) = WORKLOAD["template"]["spec"]["containers"]
    spec = {**WORKLOAD["template"]["spec"], "containers": [{**first, "volumeMounts": [mount]}]}
    workload = {**WORKLOAD, "template": {**WORKLOAD["template"], "spec": spec}}
    path = "spec.template.spec.containers[0].volumeMounts[0].name"
    assert causes("apps", "statefulsets", {"spec": workload}) == [(path, 'Not found: "data"')]
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": wanted}]
    claimed = {**workload, "volumeClaimTemplates": claims}
    assert causes("apps", "statefulsets", {"spec": claimed}) == []
    own = {**spec, "volumes": [{"name": "data", "emptyDir": {}}]}
    both = {**claimed, "template": {**workload["template"], "spec": own}}
    assert causes("apps", "statefulsets", {"spec": both}) == []


def test_the_new_counts_of_other_statuses() -> None:
    daemon = {"spec": WORKLOAD, "status": {"numberReady": -1, "numberAvailable": -2}}
    assert [field for field, _ in causes("apps", "daemonsets", daemon, daemon, "status")] == [
        "status.numberReady",
        "status.numberAvailable",
    ]


def test_equal_counts_are_sound() -> None:
    status = {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2}
    document = {"spec": WORKLOAD, "status": status}
    for plural in ("deployments", "replicasets", "statefulsets"):
        kept = {name: count for name, count in status.items() if "updated" not in name}
        shown = document if plural != "replicasets" else {**document, "status": kept}
        assert causes("apps", plural, shown, shown, "status") == []


def test_the_ports_of_endpoints_need_names_only_where_there_are_several() -> None:
    address = [{"ip": "10.0.0.1"}]
    one, two = [{"port": 1}], [{"port": 1, "name": "a"}, {"port": 65535, "name": "b"}]
    for ports in (one, two):
        assert causes("", "endpoints", {"subsets": [{"addresses": address, "ports": ports}]}) == []
