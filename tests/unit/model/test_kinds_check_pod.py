"""Pods: what is refused, cause by cause, in upstream's words; what an update may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from steersman.model import decode
from steersman.model.kinds.pod import POD
from steersman.model.types import pod_status_check
from steersman.model.types.podspec_check import check_pod_spec

DEFINITION = "io.k8s.api.core.v1.Pod"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
C0 = "spec.containers[0]"


def pod(**spec: Any) -> dict[str, Any]:
    base = {"containers": [{"name": "a", "image": "i"}], **spec}
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": base}


def one(**container: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "a", "image": "i", **container}])


def admitted(document: dict[str, Any]) -> dict[str, Any]:
    found = decode.admit(DEFINITION, copy.deepcopy(document), "Pod", "v1")
    assert found.unknown == ()
    return found.document


def causes(
    new: dict[str, Any], old: dict[str, Any] | None = None, subresource: str = ""
) -> list[tuple[str, str]]:
    before = None if old is None else admitted(old)
    found = POD.check(admitted(new), before, subresource)
    return [(cause.field, cause.message) for cause in found]


def test_a_sound_pod_passes_twice() -> None:
    assert causes(one()) == []
    assert causes(one()) == []


def test_a_faulty_spec_is_refused_each_time() -> None:
    for _ in range(2):
        assert causes(pod(containers=[])) == [("spec.containers", "Required value")]


def test_a_spec_that_suits_a_template_is_checked_anew_for_a_pod() -> None:
    spec = admitted(pod(hostNetwork=True))["spec"]
    spec["containers"][0]["ports"] = [{"containerPort": 80, "protocol": "TCP"}]
    assert not check_pod_spec(spec, "spec", of_pod=False)
    assert check_pod_spec(spec, "spec", of_pod=True)


CONTAINERS = [
    ({"name": ""}, [(f"{C0}.name", "Required value")]),
    ({"name": "A_b"}, [(f"{C0}.name", f'Invalid value: "A_b": {LABEL}')]),
    ({"image": ""}, [(f"{C0}.image", "Required value")]),
    (
        {"image": " i"},
        [(f"{C0}.image", 'Invalid value: " i": must not have leading or trailing whitespace')],
    ),
    (
        {"imagePullPolicy": "Sometimes"},
        [
            (
                f"{C0}.imagePullPolicy",
                'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", '
                '"Never"',
            )
        ],
    ),
    (
        {"terminationMessagePolicy": "x"},
        [
            (
                f"{C0}.terminationMessagePolicy",
                'Unsupported value: "x": supported values: "File", "FallbackToLogsOnError"',
            )
        ],
    ),
    (
        {"ports": [{"containerPort": 0}]},
        [(f"{C0}.ports[0].containerPort", "Required value")],
    ),
    (
        {"ports": [{"containerPort": 65536, "protocol": "HTTP"}]},
        [
            (
                f"{C0}.ports[0].containerPort",
                "Invalid value: 65536: must be between 1 and 65535, inclusive",
            ),
            (
                f"{C0}.ports[0].protocol",
                'Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"',
            ),
        ],
    ),
    (
        {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        [(f"{C0}.ports[1].name", 'Duplicate value: "a"')],
    ),
    (
        {"ports": [{"containerPort": 1, "name": "-"}]},
        [
            (f"{C0}.ports[0].name", 'Invalid value: "-": must contain at least one letter (a-z)'),
            (
                f"{C0}.ports[0].name",
                'Invalid value: "-": must not begin or end with a hyphen',
            ),
        ],
    ),
    (
        {"ports": [{"containerPort": 1, "hostPort": 5}, {"containerPort": 2, "hostPort": 5}]},
        [(f"{C0}.ports[1].hostPort", 'Duplicate value: "TCP//5"')],
    ),
    ({"env": [{"name": ""}]}, [(f"{C0}.env[0].name", "Required value")]),
    (
        {"env": [{"name": "a=b"}]},
        [
            (
                f"{C0}.env[0].name",
                'Invalid value: "a=b": a valid environment variable name must consist only of '
                "printable ASCII characters other than '='",
            )
        ],
    ),
    (
        {"env": [{"name": "a", "valueFrom": {}}]},
        [
            (
                f"{C0}.env[0].valueFrom",
                'Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
                "`configMapKeyRef` or `secretKeyRef`",
            )
        ],
    ),
    (
        {"env": [{"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]},
        [
            (
                f"{C0}.env[0].valueFrom.fieldRef.fieldPath",
                'Invalid value: "x": error converting fieldPath: field label not supported: x',
            ),
            (
                f"{C0}.env[0].valueFrom",
                'Invalid value: "": may not be specified when `value` is not empty',
            ),
        ],
    ),
    (
        {"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]},
        [
            (
                f"{C0}.env[0].valueFrom.fieldRef.fieldPath",
                'Unsupported value: "status.phase": supported values: "metadata.name", '
                '"metadata.namespace", "metadata.uid", "spec.nodeName", '
                '"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", '
                '"status.podIPs"',
            )
        ],
    ),
    (
        {"env": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s"}}}]},
        [(f"{C0}.env[0].valueFrom.secretKeyRef.key", "Required value")],
    ),
    (
        {"env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}]},
        [
            (
                f"{C0}.env[0].valueFrom.resourceFieldRef.resource",
                'Unsupported value: "cpu": supported values: "limits.cpu", '
                '"limits.ephemeral-storage", "limits.memory", "requests.cpu", '
                '"requests.ephemeral-storage", "requests.memory"',
            )
        ],
    ),
    (
        {"envFrom": [{}]},
        [
            (
                f"{C0}.envFrom",
                'Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
            )
        ],
    ),
    (
        {"envFrom": [{"configMapRef": {}}]},
        [(f"{C0}.envFrom[0].configMapRef.name", "Required value")],
    ),
    (
        {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        [(f"{C0}.volumeMounts[0].name", 'Not found: "v"')],
    ),
    (
        {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
        [
            (
                f"{C0}.resources.requests",
                'Invalid value: "2": must be less than or equal to cpu limit of 1',
            )
        ],
    ),
    (
        {"resources": {"limits": {"cpu": "-1"}}},
        [
            (
                f"{C0}.resources.limits[cpu]",
                'Invalid value: "-1": must be greater than or equal to 0',
            ),
            (
                f"{C0}.resources.requests[cpu]",
                'Invalid value: "-1": must be greater than or equal to 0',
            ),
        ],
    ),
    (
        {"resources": {"requests": {"gold": "1"}}},
        [
            (
                f"{C0}.resources.requests[gold]",
                'Invalid value: "gold": must be a standard resource type or fully qualified',
            ),
            (
                f"{C0}.resources.requests[gold]",
                'Invalid value: "gold": must be a standard resource for containers',
            ),
        ],
    ),
    (
        {"resources": {"requests": {"x.y/gpu": "500m"}}},
        [
            (f"{C0}.resources.requests[x.y/gpu]", 'Invalid value: "500m": must be an integer'),
            (
                f"{C0}.resources.limits",
                "Required value: Limit must be set for non overcommitable resources",
            ),
        ],
    ),
    (
        {"resources": {"limits": {"hugepages-2Mi": "3Mi"}}},
        [
            (
                f"{C0}.resources.limits[hugepages-2Mi]",
                'Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
            ),
            (
                f"{C0}.resources.requests[hugepages-2Mi]",
                'Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
            ),
            (f"{C0}.resources", "Forbidden: HugePages require cpu or memory"),
        ],
    ),
    (
        {"livenessProbe": {}},
        [(f"{C0}.livenessProbe", "Required value: must specify a handler type")],
    ),
    (
        {"livenessProbe": {"exec": {}, "tcpSocket": {"port": 1}, "successThreshold": 2}},
        [
            (f"{C0}.livenessProbe.exec.command", "Required value"),
            (
                f"{C0}.livenessProbe.tcpSocket",
                "Forbidden: may not specify more than 1 handler type",
            ),
            (f"{C0}.livenessProbe.successThreshold", "Invalid value: 2: must be 1"),
        ],
    ),
    (
        {"readinessProbe": {"httpGet": {"port": 0, "scheme": "ftp"}, "periodSeconds": -1}},
        [
            (
                f"{C0}.readinessProbe.httpGet.port",
                "Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                f"{C0}.readinessProbe.httpGet.scheme",
                'Unsupported value: "ftp": supported values: "HTTP", "HTTPS"',
            ),
            (
                f"{C0}.readinessProbe.periodSeconds",
                "Invalid value: -1: must be greater than or equal to 0",
            ),
        ],
    ),
    (
        {"readinessProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 5}},
        [
            (
                f"{C0}.readinessProbe.terminationGracePeriodSeconds",
                "Invalid value: 5: must not be set for readinessProbes",
            )
        ],
    ),
    (
        {"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
        [
            (
                f"{C0}.lifecycle.preStop.sleep",
                "Invalid value: 31: must be non-negative and less than "
                "terminationGracePeriodSeconds (30)",
            )
        ],
    ),
    (
        {"securityContext": {"runAsUser": -1}},
        [
            (
                f"{C0}.securityContext.runAsUser",
                "Invalid value: -1: must be between 0 and 2147483647, inclusive",
            )
        ],
    ),
    (
        {"securityContext": {"procMount": "Unmasked"}},
        [
            (
                f"{C0}.securityContext.procMount",
                'Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
            )
        ],
    ),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        [
            (
                f"{C0}.securityContext.seccompProfile.localhostProfile",
                "Required value: must be set when seccomp type is Localhost",
            )
        ],
    ),
    (
        {"securityContext": {"allowPrivilegeEscalation": False, "privileged": True}},
        [
            (
                f"{C0}.securityContext",
                'Invalid value: {"allowPrivilegeEscalation":false,"privileged":true}: cannot set '
                "`allowPrivilegeEscalation` to false and `privileged` to true",
            )
        ],
    ),
    (
        {"resizePolicy": [{"resourceName": "gpu", "restartPolicy": "NotRequired"}]},
        [
            (
                f"{C0}.resizePolicy",
                'Unsupported value: "gpu": supported values: "cpu", "memory"',
            )
        ],
    ),
]


@pytest.mark.parametrize(("fields", "expected"), CONTAINERS)
def test_a_faulty_container(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes(one(**fields)) == expected


TOLERATIONS = "spec.tolerations[0]"
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
NODE = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
NEAR = "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution"

SPECS = [
    ({"containers": []}, [("spec.containers", "Required value")]),
    (
        {"containers": [{"name": "a", "image": "i"}] * 2},
        [("spec.containers[1].name", 'Duplicate value: "a"')],
    ),
    (
        {"restartPolicy": "Maybe"},
        [
            (
                "spec.restartPolicy",
                'Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
            )
        ],
    ),
    (
        {"dnsPolicy": "x"},
        [
            (
                "spec.dnsPolicy",
                'Unsupported value: "x": supported values: "ClusterFirstWithHostNet", '
                '"ClusterFirst", "Default", "None"',
            )
        ],
    ),
    (
        {"dnsPolicy": "None"},
        [
            (
                "spec.dnsConfig",
                "Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            )
        ],
    ),
    (
        {"dnsConfig": {"nameservers": ["x"], "options": [{}]}},
        [
            ("spec.dnsConfig.nameservers[0]", f'Invalid value: "x": {IP}'),
            ("spec.dnsConfig.options[0]", "Required value: must not be empty"),
        ],
    ),
    (
        {"initContainers": [{"name": "a", "image": "i", "livenessProbe": {"grpc": {"port": 1}}}]},
        [
            ("spec.initContainers[0].name", 'Duplicate value: "a"'),
            (
                "spec.initContainers[0].livenessProbe",
                "Forbidden: may not be set for init containers without restartPolicy=Always",
            ),
        ],
    ),
    (
        {"initContainers": [{"name": "b", "image": "i", "restartPolicy": "x"}]},
        [
            (
                "spec.initContainers[0].restartPolicy",
                'Unsupported value: "x": supported values: "Always", "OnFailure", "Never"',
            )
        ],
    ),
    (
        {"ephemeralContainers": [{"name": "b", "image": "i"}]},
        [("spec.ephemeralContainers", "Forbidden: cannot be set on create")],
    ),
    (
        {"nodeName": "n", "schedulingGates": [{"name": "g"}]},
        [
            (
                "spec.nodeName",
                "Forbidden: cannot be set until all schedulingGates have been cleared",
            )
        ],
    ),
    (
        {"activeDeadlineSeconds": 0},
        [
            (
                "spec.activeDeadlineSeconds",
                "Invalid value: 0: must be between 1 and 2147483647, inclusive",
            )
        ],
    ),
    ({"hostname": "A"}, [("spec.hostname", f'Invalid value: "A": {LABEL}')]),
    ({"hostAliases": [{"ip": "x"}]}, [("spec.hostAliases[0].ip", f'Invalid value: "x": {IP}')]),
    (
        {"nodeSelector": {"a b": "c"}},
        [
            (
                "spec.nodeSelector",
                'Invalid value: "a b": name part must consist of alphanumeric characters, '
                "'-', '_' or '.', and must start and end with an alphanumeric character "
                "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            )
        ],
    ),
    (
        {"tolerations": [{"operator": "Equal"}]},
        [
            (
                f"{TOLERATIONS}.operator",
                'Invalid value: "Equal": operator must be Exists when `key` is empty, which '
                'means "match all values and all keys"',
            )
        ],
    ),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "x", "effect": "Never"}]},
        [
            (
                f"{TOLERATIONS}.operator",
                "Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
            ),
            (
                f"{TOLERATIONS}.effect",
                'Unsupported value: "Never": supported values: "NoSchedule", '
                '"PreferNoSchedule", "NoExecute"',
            ),
        ],
    ),
    (
        {"tolerations": [{"key": "a", "tolerationSeconds": 3}]},
        [
            (
                f"{TOLERATIONS}.effect",
                "Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            )
        ],
    ),
    (
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
        [
            (
                f"{NODE}.nodeSelectorTerms",
                "Required value: must have at least one node selector term",
            )
        ],
    ),
    (
        {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [{"key": "a", "operator": "In"}],
                                "matchFields": [{"key": "b", "operator": "Gt"}],
                            }
                        ]
                    }
                }
            }
        },
        [
            (
                f"{NODE}.nodeSelectorTerms[0].matchExpressions[0].values",
                "Required value: must be specified when `operator` is 'In' or 'NotIn'",
            ),
            (
                f"{NODE}.nodeSelectorTerms[0].matchFields[0].operator",
                'Invalid value: "Gt": not a valid selector operator',
            ),
            (
                f"{NODE}.nodeSelectorTerms[0].matchFields[0].key",
                'Invalid value: "b": not a valid field selector key',
            ),
        ],
    ),
    (
        {
            "affinity": {
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 101, "podAffinityTerm": {"topologyKey": "z"}}
                    ]
                }
            }
        },
        [(f"{NEAR}[0].weight", "Invalid value: 101: must be in the range 1-100")],
    ),
    (
        {"topologySpreadConstraints": [{**SPREAD, "maxSkew": 0}, SPREAD]},
        [
            (
                "spec.topologySpreadConstraints[0].maxSkew",
                "Invalid value: 0: must be greater than zero",
            ),
            (
                "spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}",
                'Duplicate value: "{zone, DoNotSchedule}"',
            ),
        ],
    ),
    (
        {"hostUsers": False, "hostPID": True},
        [("spec.HostPID", "Forbidden: when `pod.Spec.HostUsers` is false")],
    ),
    (
        {"hostPID": True, "shareProcessNamespace": True, "securityContext": {"fsGroup": -1}},
        [
            (
                "spec.securityContext.fsGroup",
                "Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ),
            (
                "spec.securityContext.shareProcessNamespace",
                "Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ),
        ],
    ),
    (
        {"securityContext": {"sysctls": [{"name": "net.a"}]}, "hostNetwork": True},
        [
            (
                "spec.securityContext.sysctls[0].name",
                "Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true",
            )
        ],
    ),
    (
        {
            "resources": {"requests": {"cpu": "1"}},
            "containers": [{"name": "a", "image": "i", "resources": {"requests": {"cpu": "2"}}}],
        },
        [
            (
                "spec.resources.requests[cpu]",
                'Invalid value: "1": must be greater than or equal to aggregate container '
                "requests of 2",
            )
        ],
    ),
    (
        {"os": {"name": "plan9"}},
        [
            (
                "spec.os",
                'Unsupported value: "plan9": supported values: "linux", "windows"',
            )
        ],
    ),
    ({"volumes": [{"emptyDir": {}}]}, [("spec.volumes[0].name", "Required value")]),
    (
        {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]},
        [("spec.volumes[1].name", 'Duplicate value: "a"')],
    ),
    (
        {"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}]},
        [
            (
                "spec.volumes[0].hostPath",
                "Forbidden: may not specify more than 1 volume type",
            )
        ],
    ),
    (
        {"volumes": [{"name": "a", "hostPath": {"path": "/a/../b", "type": "x"}}]},
        [
            ("spec.volumes[0].hostPath.path", "Invalid value: \"/a/../b\": must not contain '..'"),
            (
                "spec.volumes[0].hostPath.type",
                'Unsupported value: "x": supported values: "", "BlockDevice", "CharDevice", '
                '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"',
            ),
        ],
    ),
    (
        {"volumes": [{"name": "a", "configMap": {"items": [{"key": "k", "path": "/x"}]}}]},
        [
            ("spec.volumes[0].configMap.name", "Required value"),
            (
                "spec.volumes[0].configMap.items[0].path",
                'Invalid value: "/x": must be a relative path',
            ),
        ],
    ),
    (
        {"volumes": [{"name": "a", "secret": {"secretName": "s", "defaultMode": 512}}]},
        [
            (
                "spec.volumes[0].secret.defaultMode",
                "Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            )
        ],
    ),
    (
        {
            "volumes": [
                {
                    "name": "a",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]
                    },
                }
            ]
        },
        [
            (
                "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds",
                "Invalid value: 5: may not specify a duration less than 10 minutes",
            ),
            (
                "spec.volumes[0].projected.sources[0].serviceAccountToken",
                "Forbidden: must not be specified when serviceAccountName is not set",
            ),
        ],
    ),
    (
        {"volumes": [{"name": "a", "downwardAPI": {"items": [{"path": "p"}]}}]},
        [
            (
                "spec.volumes[0].downwardAPI",
                "Required value: one of fieldRef and resourceFieldRef is required",
            )
        ],
    ),
    ({"hostnameOverride": "a.example", "setHostnameAsFQDN": False, "hostNetwork": False}, []),
    (
        {"hostnameOverride": "A", "setHostnameAsFQDN": True, "hostNetwork": True},
        [
            (
                "spec.hostnameOverride",
                'Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case '
                "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
                "character (e.g. 'example.com', regex used for validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            (
                "spec.setHostnameAsFQDN",
                "Forbidden: may not be set when hostnameOverride is specified",
            ),
            (
                "spec.hostNetwork",
                "Forbidden: may not be set when hostnameOverride is specified",
            ),
        ],
    ),
    ({"hostnameOverride": "a" * 64}, []),
    (
        {"hostnameOverride": "a" * 65},
        [("spec.hostnameOverride", "Too long: may not be more than 64 bytes")],
    ),
    (
        {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": ""}}]},
        [("spec.volumes[0].persistentVolumeClaim.claimName", "Required value")],
    ),
]


@pytest.mark.parametrize(("fields", "expected"), SPECS)
def test_a_faulty_spec(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes(pod(**fields)) == expected


def sources(*found: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the sources of a projected volume; paths from `sources` on."""
    volume = {"name": "a", "projected": {"sources": list(found)}}
    start = "spec.volumes[0].projected"
    return [(path.removeprefix(f"{start}."), text) for path, text in causes(pod(volumes=[volume]))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"name": "plain"}, []),
        ({"name": "example.com:s:one"}, []),
        ({"signerName": "example.com/s"}, []),
        ({"signerName": "example.com/s", "labelSelector": {}}, []),
        ({}, [("", "Required value: either name or signerName must be specified")]),
        ({"name": ""}, [(".name", "Required value: must be a valid object name"), (".name", "*")]),
        ({"name": "A"}, [(".name", 'Invalid value: "A": not a valid clustertrustbundlename: *')]),
        (
            {"name": "x", "labelSelector": {}},
            [(".labelSelector", "*labelSelector must be unset if name is specified")],
        ),
        (
            {"name": "x", "signerName": "y/z"},
            [("", "*only one of name and signerName may be used")],
        ),
        ({"signerName": "none"}, [(".signerName", "*")]),
        (
            {"signerName": "a.b/c", "labelSelector": {"matchLabels": {"-": ""}}},
            [(".labelSelector.matchLabels", "*")],
        ),
        ({"name": "x", "path": "/y"}, [(".path", 'Invalid value: "/y": must be a relative path')]),
        ({"name": "x", "path": ""}, [(".path", "Required value")]),
    ],
)
def test_trust_bundles_in_a_volume(source: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = sources({"clusterTrustBundle": {"path": "p", **source}})
    assert len(found) == len(expected)
    for (path, text), (wanted, words) in zip(found, expected, strict=True):
        assert path == f"sources[0].clusterTrustBundle{wanted}"
        start, _, end = words.partition("*")
        assert text.startswith(start) and (text.endswith(end) or not end)


KINDS = '"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, []),
        ({"maxExpirationSeconds": 3600, "keyPath": "k", "certificateChainPath": "c"}, []),
        ({"maxExpirationSeconds": 7862400}, []),
        (
            {"maxExpirationSeconds": 3599},
            [
                (
                    ".maxExpirationSeconds",
                    "Invalid value: 3599: must be in the range [3600, 7862400]",
                )
            ],
        ),
        (
            {"maxExpirationSeconds": 7862401},
            [
                (
                    ".maxExpirationSeconds",
                    "Invalid value: 7862401: must be in the range [3600, 7862400]",
                )
            ],
        ),
        (
            {"maxExpirationSeconds": 86401, "signerName": "kubernetes.io/x"},
            [(".maxExpirationSeconds", "Invalid value: 86401: must be in the range [3600, 86400]")],
        ),
        (
            {"keyType": "RSA1"},
            [(".keyType", f'Unsupported value: "RSA1": supported values: {KINDS}')],
        ),
        (
            {"credentialBundlePath": None},
            [
                (
                    "",
                    "Required value: specify at least one of credentialBundlePath, keyPath, "
                    "certificateChainPath",
                )
            ],
        ),
        ({"keyPath": "../k"}, [(".keyPath", "Invalid value: \"../k\": must not contain '..'")]),
    ],
)
def test_certificates_in_a_volume(source: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    given = {"signerName": "a.b/c", "keyType": "ED25519", "credentialBundlePath": "b", **source}
    wanted = [(f"sources[0].podCertificate{path}", text) for path, text in expected]
    assert sources({"podCertificate": given}) == wanted


def test_two_sources_do_not_write_to_one_path() -> None:
    bundle = {"clusterTrustBundle": {"name": "x", "path": "p"}}
    asked = {"signerName": "a.b/c", "keyType": "ED25519", "keyPath": "p"}
    wanted = [("spec.volumes[0].projected", 'Invalid value: "p": conflicting duplicate paths')]
    assert sources(bundle, {"podCertificate": asked}) == wanted


def test_mounts_of_one_container() -> None:
    mounts = [
        {"name": "v", "mountPath": "/a", "subPath": "/x"},
        {"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"},
        {"name": "v", "mountPath": "", "recursiveReadOnly": "Enabled"},
    ]
    document = one(volumeMounts=mounts)
    document["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    path = f"{C0}.volumeMounts"
    assert causes(document) == [
        (f"{path}.subPath", 'Invalid value: "/x": must be a relative path'),
        (f"{path}[1].mountPath", 'Invalid value: "/a": must be unique'),
        (
            f"{path}.mountPropagation",
            "Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ),
        (f"{path}[2].mountPath", "Required value"),
        (
            f"{path}.recursiveReadOnly",
            "Forbidden: may only be specified when readOnly is true",
        ),
    ]


def test_a_name_is_required_and_must_be_a_subdomain() -> None:
    document = one()
    document["metadata"]["name"] = ""
    assert causes(document) == [
        ("metadata.name", "Required value: name or generateName is required")
    ]
    document["metadata"]["name"] = "A"
    ((field, message),) = causes(document)
    assert field == "metadata.name"
    assert message.startswith('Invalid value: "A": a lowercase RFC 1123 subdomain must consist')


CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
    "set to 1 if it was previously negative)\n"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"containers": [{"name": "a", "image": "other"}]}),
        ({}, {"tolerations": [{"key": "a", "operator": "Exists"}]}),
        ({}, {"activeDeadlineSeconds": 5}),
        ({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 4}),
        ({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 5}),
        ({"terminationGracePeriodSeconds": -1}, {"terminationGracePeriodSeconds": 1}),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute"}]},
            {
                "tolerations": [
                    {
                        "key": "a",
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": 5,
                    }
                ]
            },
        ),
        (
            {"schedulingGates": [{"name": "g"}]},
            {
                "schedulingGates": [{"name": "g"}],
                "affinity": {"nodeAffinity": {}},
            },
        ),
        ({"schedulingGates": [{"name": "g"}]}, {}),
        (
            {"schedulingGates": [{"name": "g"}]},
            {"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}},
        ),
    ],
)
def test_an_update_may_change_a_little(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert causes(pod(**new), pod(**old)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            {},
            {"nodeName": "n"},
            [("spec", f'Forbidden: {CHANGEABLE}+nodeName: "n"\n')],
        ),
        # without a gate it may have been placed by what it said
        (
            {},
            {"nodeSelector": {"a": "b"}},
            [("spec", f'Forbidden: {CHANGEABLE}+nodeSelector: {{"a":"b"}}\n')],
        ),
        (
            {},
            {"affinity": {"nodeAffinity": {}}},
            [("spec", f'Forbidden: {CHANGEABLE}+affinity: {{"nodeAffinity":{{}}}}\n')],
        ),
        (
            {},
            {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]},
            [("spec.containers", "Forbidden: pod updates may not add or remove containers")],
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists"}]},
            {},
            [
                (
                    "spec.tolerations",
                    "Forbidden: existing toleration can not be modified except its "
                    "tolerationSeconds",
                )
            ],
        ),
        (
            {"activeDeadlineSeconds": 4},
            {"activeDeadlineSeconds": 5},
            [
                (
                    "spec.activeDeadlineSeconds",
                    "Invalid value: 5: must be less than or equal to previous value",
                )
            ],
        ),
        (
            {"activeDeadlineSeconds": 4},
            {},
            [
                (
                    "spec.activeDeadlineSeconds",
                    "Invalid value: null: must not update from a positive integer to nil value",
                )
            ],
        ),
        (
            {"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}},
            {"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "c"}},
            [
                (
                    "spec.nodeSelector",
                    'Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed '
                    "(no mutations or deletions)",
                )
            ],
        ),
        (
            {},
            {"containers": [{"name": "a", "image": "j "}]},
            [
                (
                    f"{C0}.image",
                    'Invalid value: "j ": must not have leading or trailing whitespace',
                )
            ]
            * 2,
        ),
        (
            {},
            {"schedulingGates": [{"name": "g"}]},
            [
                (
                    "spec.schedulingGates[0].name",
                    "Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
                )
            ],
        ),
    ],
)
def test_an_update_may_not_change_the_rest(
    old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert causes(pod(**new), pod(**old)) == expected


def test_what_may_restart_all_containers_may_begin_anew_in_any_of_them() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
    other = {"restartPolicyRules": [rule]}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")

    def told(**container: Any) -> list[str]:
        spec = pod(restartPolicy="Never", initContainers=[{"name": "z", **container}])
        old, new = ({**spec, "status": {key: [it] for key in kinds}} for it in (ENDED, RUNS))
        return [it.field for it in pod_status_check.check_status(new, old)]

    assert told() == [f"status.{it}[0].state" for it in kinds]
    assert told(**other) == ["status.ephemeralContainerStatuses[0].state"]


def status(**fields: Any) -> dict[str, Any]:
    return {**pod(restartPolicy="Never"), "status": {"qosClass": "BestEffort", **fields}}


ENDED = {"name": "a", "state": {"terminated": {"exitCode": 0}}}
RUNS = {"name": "a", "state": {"running": {}}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {"phase": "Running"}, []),
        (
            {},
            {"qosClass": "Guaranteed"},
            [("status.qosClass", 'Invalid value: "Guaranteed": field is immutable')],
        ),
        (
            {"containerStatuses": [ENDED]},
            {"containerStatuses": [RUNS]},
            [
                (
                    "status.containerStatuses[0].state",
                    "Forbidden: may not be transitioned to non-terminated state",
                )
            ],
        ),
        (
            {},
            {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}]},
            [
                (
                    "status.podIPs",
                    'Invalid value: [{"ip":"1.1.1.1"},{"ip":"1.1.1.2"}]: may specify no more '
                    "than one IP for each IP family",
                )
            ],
        ),
        ({}, {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "fd::1"}]}, []),
        (
            {},
            {"hostIP": "1.1.1.1", "hostIPs": [{"ip": "1.1.1.2"}]},
            [("status.hostIPs[0].ip", 'Invalid value: "1.1.1.2": must be equal to `hostIP`')],
        ),
    ],
)
def test_status_updates(
    old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert causes(status(**new), status(**old), "status") == expected


def test_ephemeral_containers_are_only_added() -> None:
    first, second = {"name": "x", "image": "i"}, {"name": "y", "image": "i"}
    with_one = pod(ephemeralContainers=[first])
    with_both = pod(ephemeralContainers=[first, second])
    assert causes(with_both, with_one, "ephemeralcontainers") == []
    assert causes(with_one, with_both, "ephemeralcontainers") == [
        (
            "spec.ephemeralContainers",
            'Forbidden: existing ephemeral containers "y" may not be removed\n',
        )
    ]
    bad = pod(ephemeralContainers=[{**first, "targetContainerName": "z", "ports": [{}]}])
    found = causes(bad, pod(), "ephemeralcontainers")
    assert ("spec.ephemeralContainers[0].targetContainerName", 'Not found: "z"') in found
    assert (
        "spec.ephemeralContainers[0].ports",
        "Forbidden: cannot be set for an Ephemeral Container",
    ) in found


def sized(**resources: Any) -> dict[str, Any]:
    return one(resources=resources)


def test_a_resize_changes_what_a_pod_asks_for_as_a_whole() -> None:
    def whole(**resources: Any) -> dict[str, Any]:
        return pod(resources=resources)

    small = whole(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "2"})
    grown = whole(requests={"cpu": "2", "memory": "2Gi"}, limits={"cpu": "3"})
    assert causes(grown, small, "resize") == []
    less = whole(requests={"cpu": "1"}, limits={"cpu": "2"})
    assert causes(less, small, "resize") == [
        ("spec.resources.requests", "Forbidden: resource requests cannot be removed")
    ]
    pages = {"hugepages-2Mi": "4Mi"}
    more = whole(requests={"cpu": "1", "memory": "1Gi", **pages}, limits={"cpu": "2", **pages})
    assert causes(more, small, "resize") == [
        ("spec.resources", "Forbidden: only cpu and memory resources are mutable")
    ]


def test_a_resize_changes_processor_and_memory_within_the_class() -> None:
    small = sized(requests={"cpu": "1"}, limits={"cpu": "2", "memory": "2Gi"})
    grown = sized(requests={"cpu": "1500m"}, limits={"cpu": "2", "memory": "3Gi"})
    assert causes(grown, small, "resize") == []
    found = causes(sized(requests={"cpu": "1"}, limits={"cpu": "2"}), small, "resize")
    path = f"{C0}.resources"
    assert found == [
        (f"{path}.requests", "Forbidden: resource requests cannot be removed"),
        (f"{path}.limits", "Forbidden: resource limits cannot be removed"),
    ]
    shrunk = sized(requests={"cpu": "1"}, limits={"cpu": "2", "memory": "1Gi"})
    assert causes(shrunk, small, "resize") == []  # since 1.34; the node looks at what is in use
    same = sized(requests={"cpu": "2"}, limits={"cpu": "2", "memory": "2Gi"})
    assert causes(same, small, "resize") == [
        (
            "spec",
            'Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
        )
    ]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        (
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "1073741824"}},
            "Guaranteed",
        ),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"x.y/gpu": "1"}}, "BestEffort"),
    ],
)
def test_a_new_pod_is_pending_and_has_its_class(resources: dict[str, Any], expected: str) -> None:
    document = admitted({**sized(**resources), "status": {"phase": "Running", "podIP": "x"}})
    prepared = POD.prepare(document, None, "")
    assert prepared["status"] == {"phase": "Pending", "qosClass": expected}
    assert document["status"] == {"phase": "Running", "podIP": "x", "podIPs": [{"ip": "x"}]}


def test_a_gated_pod_says_so() -> None:
    prepared = POD.prepare(admitted(pod(schedulingGates=[{"name": "g"}])), None, "")
    (condition,) = prepared["status"]["conditions"]
    assert condition == {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


SIDECAR = {"name": "s", "image": "i", "restartPolicy": "Always"}
PLAIN = {"name": "s", "image": "i"}


@pytest.mark.parametrize(
    ("init", "now", "then", "expected"),
    [
        (SIDECAR, {"requests": {"cpu": "2"}}, {"requests": {"cpu": "1"}}, []),
        (
            PLAIN,
            {"requests": {"cpu": "2"}},
            {"requests": {"cpu": "1"}},
            [("spec", "Forbidden: resources for non-sidecar init containers are immutable")],
        ),
        (PLAIN, {"requests": {"cpu": "1"}}, {"requests": {"cpu": "1"}}, []),
        (
            SIDECAR,
            {"requests": {"cpu": "1", "ephemeral-storage": "2"}},
            {"requests": {"cpu": "1", "ephemeral-storage": "1"}},
            [
                (
                    "spec",
                    "Forbidden: only cpu and memory resources for sidecar containers are mutable",
                )
            ],
        ),
    ],
)
def test_a_resize_of_containers_that_start_first(
    init: dict[str, Any], now: Any, then: Any, expected: list[tuple[str, str]]
) -> None:
    new, old = (pod(initContainers=[{**init, "resources": one}]) for one in (now, then))
    assert causes(new, old, "resize") == expected


def test_a_container_that_restarts_in_a_resize_may_have_less_memory() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    small, big = (
        one(resources={"limits": {"memory": amount}}, resizePolicy=policy)
        for amount in ("1Gi", "2Gi")
    )
    assert causes(small, big, "resize") == []
    stopped = one(resources={"limits": {"memory": "2Gi"}})
    assert causes(big, stopped, "resize") == [
        ("spec", "Forbidden: only cpu and memory resources are mutable")
    ]
    other = one(resources={"limits": {"memory": "2Gi", "ephemeral-storage": "1Gi"}})
    assert causes(other, one(resources={"limits": {"memory": "2Gi"}}), "resize") == [
        ("spec", "Forbidden: only cpu and memory resources are mutable")
    ]


def test_pods_of_the_node_itself_stay_as_they_are() -> None:
    mirror = pod(nodeName="m")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    wrong = {**mirror, "metadata": {**mirror["metadata"], "labels": {"a b": "c"}}}
    for new in (mirror, wrong):
        assert causes(new, mirror, "resize") == [("[]", "Forbidden: static pods cannot be resized")]
        assert causes(new, mirror, "ephemeralcontainers") == [
            ("[]", "Forbidden: static pods do not support ephemeral containers")
        ]


def test_what_a_resize_says_beside_resources_is_dropped() -> None:
    asked = {"resources": {"requests": {"cpu": "2"}}, "resizePolicy": []}
    mounted = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    old = {
        "containers": [{"name": "a", "image": "i", "resources": {}, **mounted}, {"name": "b"}],
        "initContainers": [{"name": "c", "resizePolicy": [1]}],
        "nodeName": "n",
        "resources": {"limits": {"cpu": "3"}},
    }
    new = {
        "containers": [{"name": "x"}, {"name": "a", "image": "j", **asked}],
        "initContainers": [{"name": "c"}],
        "hostname": "h",
    }
    prepare = POD.prepare
    made = prepare({"metadata": {"a": 1}, "spec": new}, {"metadata": {}, "spec": old}, "resize")
    assert made == {
        "metadata": {"a": 1},
        "spec": {
            "containers": [{"name": "a", "image": "i", **asked, **mounted}, {"name": "b"}],
            "initContainers": [{"name": "c"}],
            "nodeName": "n",
        },
    }
    assert prepare({"spec": new}, {"spec": old}, "status") == {"spec": new}


def test_a_report_keeps_the_class_of_service_and_the_generations_that_were_observed() -> None:
    def conditions(*seen: int) -> list[dict[str, Any]]:
        return [{"type": "Ready", **({"observedGeneration": one} if one else {})} for one in seen]

    before = {"qosClass": "Burstable", "observedGeneration": 3, "conditions": conditions(2, 3)}
    now = {"phase": "Running", "conditions": [*conditions(0, 5, 0), {"type": "Other"}]}
    made = POD.prepare({"status": now}, {"status": before}, "status")["status"]
    assert made == {
        "phase": "Running",
        "qosClass": "Burstable",
        "observedGeneration": 3,
        "conditions": [*conditions(2, 5, 0), {"type": "Other"}],
    }


def test_pods_of_windows_are_not_resized() -> None:
    windows = pod(os={"name": "windows"})
    expected = [("[]", "Forbidden: windows pods cannot be resized")]
    assert causes(windows, windows, "resize") == expected
    assert causes(windows, windows, "ephemeralcontainers") == []


def test_a_pod_is_resized_where_its_node_tells_what_its_containers_have() -> None:
    def running(**told: Any) -> dict[str, Any]:
        state = {"state": {"running": {}}}
        return {**pod(), "status": {"containerStatuses": [{"name": "a", **state, **told}]}}

    told, untold = running(resources={}), running()
    assert causes(told, told, "resize") == []
    assert causes(untold, untold, "resize") == [
        ("spec", "Forbidden: Pod running on node without support for resize")
    ]
    ended = {"containerStatuses": [{"name": "a", "state": {"terminated": {}}}]}
    over = {**pod(), "status": ended}
    assert causes(over, over, "resize") == []


@pytest.mark.parametrize("seconds", [0, 30])
def test_a_hook_may_sleep_as_long_as_the_pod_may_end(seconds: int) -> None:
    assert causes(one(lifecycle={"preStop": {"sleep": {"seconds": seconds}}})) == []


@pytest.mark.parametrize(("count", "refused"), [(32, False), (33, True)])
def test_search_domains_are_bounded(count: int, refused: bool) -> None:
    found = causes(pod(dnsConfig={"searches": ["a_b.example."] * count}))
    assert bool(found) is refused
    if refused:
        assert found[0][0] == "spec.dnsConfig.searches"
        assert found[0][1].endswith("must not have more than 32 search paths")
    ((_, message),) = causes(pod(dnsConfig={"searches": ["a" * 60 + ".b" * 60] * 12}))
    assert "characters (including spaces) in the search list" in message


VOLUMES = [
    ({"csi": {"driver": ""}}, [("csi.driver", "Required value")]),
    (
        {"csi": {"driver": "d", "nodePublishSecretRef": {}}},
        [("csi.nodePublishSecretRef.name", "Required value")],
    ),
    ({"image": {}}, [("image.reference", "Required value")]),
    (
        {"nfs": {"server": "s", "path": "p"}},
        [("nfs.path", 'Invalid value: "p": must be an absolute path')],
    ),
    ({"ephemeral": {}}, [("ephemeral.volumeClaimTemplate", "Required value")]),
    (
        {"emptyDir": {"sizeLimit": "-1"}},
        [("emptyDir.sizeLimit", "Forbidden: SizeLimit field must be a valid resource quantity")],
    ),
    ({"emptyDir": {"medium": "HugePages-2Mi"}}, []),
    (
        {"projected": {"sources": [{"secret": {"name": "s"}, "configMap": {"name": "c"}}]}},
        [
            (
                "projected.sources[0]",
                "Forbidden: may not specify more than 1 volume type per source",
            )
        ],
    ),
    (
        {
            "projected": {
                "sources": [
                    {"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}},
                    {"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}},
                ]
            }
        },
        [("projected", 'Invalid value: "c": conflicting duplicate paths')],
    ),
    (
        {
            "downwardAPI": {
                "items": [{"path": "..x", "fieldRef": {"fieldPath": "metadata.labels['a']"}}]
            }
        },
        [("downwardAPI.path", "Invalid value: \"..x\": must not start with '..'")],
    ),
    (
        {
            "downwardAPI": {
                "items": [
                    {
                        "path": "p",
                        "resourceFieldRef": {
                            "containerName": "a",
                            "resource": "limits.memory",
                            "divisor": "3Mi",
                        },
                    }
                ]
            }
        },
        [
            (
                "downwardAPI.resourceFieldRef.divisor",
                'Invalid value: "limits.memory": only divisor\'s values 1, 1k, 1M, 1G, 1T, '
                "1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource",
            )
        ],
    ),
]


@pytest.mark.parametrize(("volume", "expected"), VOLUMES)
def test_a_faulty_volume(volume: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = causes(pod(volumes=[{"name": "v", **volume}]))
    assert found == [(f"spec.volumes[0].{field}", message) for field, message in expected]


def test_devices_of_one_container() -> None:
    devices = [{"name": "v", "devicePath": "/d"}, {"name": "w", "devicePath": "/../d"}]
    document = one(volumeDevices=devices)
    document["spec"]["volumes"] = [
        {"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "w", "emptyDir": {}},
    ]
    path = f"{C0}.volumeDevices"
    assert causes(document) == [
        (
            f"{path}[1].name",
            'Invalid value: "w": can only use volume source type of PersistentVolumeClaim or '
            "Ephemeral for block mode",
        ),
        (
            f"{path}[1].devicePath",
            "Invalid value: \"/../d\": can not contain backsteps ('..')",
        ),
    ]
    document["spec"]["containers"][0]["volumeDevices"] = [devices[0]] * 2
    assert causes(document) == [
        (f"{path}[1].name", 'Invalid value: "v": must be unique'),
        (f"{path}[1].devicePath", 'Invalid value: "/d": must be unique'),
    ]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({}, ("type", "Required value: type is required when appArmorProfile is set")),
        (
            {"type": "Localhost"},
            ("localhostProfile", "Required value: must be set when AppArmor type is Localhost"),
        ),
        (
            {"type": "Localhost", "localhostProfile": " a"},
            ("localhostProfile", 'Invalid value: " a": must not be padded with whitespace'),
        ),
        (
            {"type": "Unconfined", "localhostProfile": "a"},
            (
                "localhostProfile",
                'Invalid value: "a": can only be set when AppArmor type is Localhost',
            ),
        ),
    ],
)
def test_app_armor(profile: dict[str, Any], expected: tuple[str, str]) -> None:
    path = "spec.securityContext.appArmorProfile"
    found = causes(pod(securityContext={"appArmorProfile": profile}))
    assert found == [(f"{path}.{expected[0]}", expected[1])]


def test_the_claims_of_a_pod() -> None:
    claims = [{"name": "a"}, {"name": "a", "resourceClaimName": "x"}]
    used = {"claims": [{"name": "a"}, {"name": "a"}, {"name": "b"}]}
    document = one(resources=used)
    document["spec"]["resourceClaims"] = claims
    where = f"{C0}.resources.claims"
    assert causes(document) == [
        (
            "spec.resourceClaims[0]",
            'Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, '
            "`resourceClaimTemplateName`",
        ),
        ("spec.resourceClaims[1].name", 'Duplicate value: "a"'),
        (f"{where}[1]", 'Duplicate value: "a"'),
        (f"{where}[2]", 'Not found: "b": must be one of the names in pod.spec.resourceClaims: a'),
    ]


@pytest.mark.parametrize(
    "document",
    [
        one(resources={"requests": {"cpu": "0"}, "limits": {"x.y/gpu": "2"}}),
        one(resources={"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}),
        one(resources={"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}}),
        one(ports=[{"containerPort": 1}, {"containerPort": 65535, "hostPort": 65535}]),
        one(livenessProbe={"grpc": {"port": 1}, "terminationGracePeriodSeconds": 1}),
        one(securityContext={"runAsUser": 0, "runAsGroup": 2147483647, "procMount": "Default"}),
        one(env=[{"name": "a", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]),
        pod(securityContext={"fsGroupChangePolicy": "Always", "supplementalGroupsPolicy": "Merge"}),
        pod(securityContext={"fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [0]}),
        pod(securityContext={"sysctls": [{"name": "net.a/b"}, {"name": "kernel.x"}]}),
        pod(tolerations=[{"operator": "Exists"}, {"key": "a", "value": "b"}]),
        pod(
            hostUsers=False,
            containers=[{"name": "a", "image": "i", "securityContext": {"procMount": "Unmasked"}}],
        ),
        pod(topologySpreadConstraints=[{**SPREAD, "minDomains": 1}]),
        pod(activeDeadlineSeconds=1, hostname="h", subdomain="s", preemptionPolicy="Never"),
        pod(dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["."]}),
    ],
)
def test_what_stands_at_the_edge_is_sound(document: dict[str, Any]) -> None:
    assert causes(document) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"securityContext": {"fsGroupChangePolicy": "x"}}, "securityContext.fsGroupChangePolicy"),
        (
            {"securityContext": {"supplementalGroupsPolicy": "x"}},
            "securityContext.supplementalGroupsPolicy",
        ),
        ({"preemptionPolicy": "x"}, "preemptionPolicy"),
        (
            {"topologySpreadConstraints": [{**SPREAD, "minDomains": 0}]},
            "topologySpreadConstraints[0].minDomains",
        ),
        (
            {"topologySpreadConstraints": [{**SPREAD, "nodeTaintsPolicy": "x"}]},
            "topologySpreadConstraints[0].nodeTaintsPolicy",
        ),
        ({"priorityClassName": "A"}, "priorityClassName"),
        ({"runtimeClassName": "A"}, "runtimeClassName"),
        ({"serviceAccountName": "A"}, "serviceAccountName"),
        ({"readinessGates": [{"conditionType": "a b"}]}, "readinessGates[0].conditionType"),
        ({"overhead": {"cpu": "-1"}}, "overhead.limits[cpu]"),
    ],
)
def test_one_faulty_field(fields: dict[str, Any], path: str) -> None:
    assert [field for field, _ in causes(pod(**fields))] == [f"spec.{path}"]


TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
IN_A = {"key": "zone", "operator": "In", "values": ["a"]}
IN_B = {"key": "disk", "operator": "In", "values": ["b"]}


def gated(*terms: dict[str, Any], **affinity: Any) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    required = {TERMS.rpartition(".")[2]: selector} if terms else {}
    found = {"nodeAffinity": {**required, **affinity}}
    return pod(schedulingGates=[{"name": "e.com/g"}], affinity=found)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (gated({"matchExpressions": [IN_A]}), gated({"matchExpressions": [IN_A, IN_B]}), None),
        (
            gated({"matchExpressions": [IN_A]}),
            gated({"matchExpressions": [IN_B, IN_A]}),
            ("nodeSelectorTerms[0]", "only additions are allowed (no mutations or deletions)"),
        ),
        (
            gated({"matchExpressions": [IN_A]}),
            gated({"matchExpressions": [IN_A]}, {"matchExpressions": [IN_B]}),
            (
                "nodeSelectorTerms",
                "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
            ),
        ),
        (
            gated({}),
            gated({"matchExpressions": [IN_A]}),
            ("nodeSelectorTerms[0]", "only additions are allowed (no mutations or deletions)"),
        ),
    ],
)
def test_the_affinity_of_a_gated_pod_is_narrowed_alone(
    old: dict[str, Any], new: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    found = causes(new, old)
    if expected is None:
        assert found == []
    else:
        ((field, message),) = found
        assert field == f"{TERMS}.{expected[0]}"
        assert message.endswith(f": {expected[1]}")
