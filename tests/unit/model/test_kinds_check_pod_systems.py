"""What pods say in annotations that have fields by now, and what pods of Linux and Windows have."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import Causes, causes

ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_OF = "container.seccomp.security.alpha.kubernetes.io/"
MIRROR = "kubernetes.io/config.mirror"
COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
WINDOWS = "Forbidden: cannot be set for a windows pod"
LINUX = "Forbidden: windows options cannot be set for a linux pod"


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    base = {"containers": [{"name": "a", "image": "i"}], **spec}
    return {"metadata": {"annotations": annotations or {}}, "spec": base}


def one(**container: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "a", "image": "i", **container}])


def told(new: dict[str, Any], old: dict[str, Any] | None = None) -> Causes:
    return causes("", "pods", new, old)


@pytest.mark.parametrize(
    ("key", "value", "field", "text"),
    [
        (
            MIRROR,
            "x",
            f"[{MIRROR}]",
            'Invalid value: "x": must set spec.nodeName if mirror pod annotation is set',
        ),
        (COST, "01", f"[{COST}]", 'Invalid value: "01": must be a 32bit integer'),
        (COST, "+1", f"[{COST}]", 'Invalid value: "+1": must be a 32bit integer'),
        (
            COST,
            "2147483648",
            f"[{COST}]",
            'Invalid value: "2147483648": must be a 32bit integer',
        ),
        (SECCOMP, "x", f".{SECCOMP}", 'Invalid value: "x": must be a valid seccomp profile'),
        (
            f"{SECCOMP_OF}a",
            "localhost/../x",
            f".{SECCOMP_OF}a",
            "Invalid value: \"../x\": must not contain '..'",
        ),
        (f"{ARMOR}z", "", f"[{ARMOR}z]", 'Invalid value: "z": container not found'),
        (
            f"{ARMOR}a",
            "x",
            f"[{ARMOR}a]",
            'Invalid value: "x": invalid AppArmor profile name: "x"',
        ),
        (
            TOLERATIONS,
            '[{"operator":"Exists","value":"x"}]',
            f".{TOLERATIONS}[0].operator",
            "Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
        ),
    ],
)
def test_a_faulty_annotation_of_a_pod_or_a_template(
    key: str, value: str, field: str, text: str
) -> None:
    faulty = pod({key: value})
    assert told(faulty) == [(f"metadata.annotations{field}", text)]
    template = causes("", "podtemplates", {"template": faulty})
    assert template == [(f"template.annotations{field}", text)]


@pytest.mark.parametrize(
    "annotations",
    [
        {COST: "-5"},
        {COST: "0"},
        {SECCOMP: "docker/default", f"{SECCOMP_OF}a": "localhost/a/b"},
        {f"{ARMOR}a": "localhost/x"},
        {TOLERATIONS: '[{"operator":"Exists"}]'},
    ],
)
def test_a_sound_annotation(annotations: dict[str, str]) -> None:
    assert told(pod(annotations)) == []


def test_a_cost_that_was_faulty_before_may_stay() -> None:
    faulty = pod({COST: "x"})
    assert told(faulty, faulty) == []
    assert told(faulty, pod({COST: "1"})) == [
        (f"metadata.annotations[{COST}]", 'Invalid value: "x": must be a 32bit integer')
    ]


@pytest.mark.parametrize(
    ("new", "old", "key", "verb"),
    [
        ({MIRROR: "x"}, {}, MIRROR, "add mirror pod annotation"),
        ({}, {MIRROR: "x"}, MIRROR, "remove or update mirror pod annotation"),
        ({f"{ARMOR}a": ""}, {}, f"{ARMOR}a", "add AppArmor annotations"),
        (
            {f"{ARMOR}a": "unconfined"},
            {f"{ARMOR}a": ""},
            f"{ARMOR}a",
            "remove or update AppArmor annotations",
        ),
    ],
)
def test_some_annotations_of_a_pod_stay(
    new: dict[str, str], old: dict[str, str], key: str, verb: str
) -> None:
    documents = pod(new, nodeName="m"), pod(old, nodeName="m")
    expected = [(f"metadata.annotations[{key}]", f"Forbidden: may not {verb}")]
    assert told(*documents) == expected
    assert causes("", "pods", *documents, "status") == expected


@pytest.mark.parametrize(
    ("key", "value", "profile", "field", "text"),
    [
        (
            f"{SECCOMP_OF}a",
            "unconfined",
            {"seccompProfile": {"type": "RuntimeDefault"}},
            "seccompProfile.type",
            "seccomp type in annotation and field must match",
        ),
        (
            f"{SECCOMP_OF}a",
            "localhost/x",
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "y"}},
            "seccompProfile.localhostProfile",
            "seccomp profile in annotation and field must match",
        ),
        (
            f"{ARMOR}a",
            "localhost/x",
            {"appArmorProfile": {"type": "Unconfined"}},
            "appArmorProfile.type",
            "apparmor type in annotation and field must match",
        ),
        (
            f"{ARMOR}a",
            "localhost/x",
            {"appArmorProfile": {"type": "Localhost", "localhostProfile": "y"}},
            "appArmorProfile.localhostProfile",
            "apparmor profile in annotation and field must match",
        ),
    ],
)
def test_an_annotation_and_a_field_say_the_same(
    key: str, value: str, profile: dict[str, Any], field: str, text: str
) -> None:
    document = one(securityContext=profile)
    document["metadata"]["annotations"] = {key: value}
    path = f"spec.containers[0].securityContext.{field}"
    assert told(document) == [(path, f"Forbidden: {text}")]
    assert causes("", "podtemplates", {"template": document}) == [
        (f"template.{path}", f"Forbidden: {text}")
    ]


def test_an_annotation_and_a_field_of_the_whole_pod_say_the_same() -> None:
    context = {"seccompProfile": {"type": "Unconfined"}}
    found = told(pod({SECCOMP: "runtime/default"}, securityContext=context))
    text = "Forbidden: seccomp type in annotation and field must match"
    assert found == [("spec.securityContext.seccompProfile.type", text)]
    assert told(pod({SECCOMP: "unconfined"}, securityContext=context)) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hostPID": True}, ["spec.hostPID"]),
        ({"hostIPC": True}, ["spec.hostIPC"]),
        ({"hostUsers": True}, ["spec.hostUsers"]),
        ({"shareProcessNamespace": False}, ["spec.shareProcessNamespace"]),
        ({"securityContext": {"fsGroup": 1}}, ["spec.securityContext.fsGroup"]),
        ({"securityContext": {"sysctls": []}}, []),
        ({"securityContext": {"runAsUser": 1}}, ["spec.securityContext.runAsUser"]),
        (
            {"containers": [{"name": "a", "image": "i", "securityContext": {"privileged": False}}]},
            ["spec.containers[0].securityContext.privileged"],
        ),
        (
            {
                "initContainers": [
                    {"name": "b", "image": "i", "securityContext": {"procMount": "Default"}}
                ]
            },
            ["spec.initContainers[0].securityContext.procMount"],
        ),
    ],
)
def test_what_a_pod_of_windows_has_not(fields: dict[str, Any], expected: list[str]) -> None:
    assert told(pod(os={"name": "windows"}, **fields)) == [(field, WINDOWS) for field in expected]
    assert told(pod(os={"name": "linux"}, **fields)) == []


def test_what_a_pod_of_linux_has_not() -> None:
    options = {"windowsOptions": {"runAsUserName": "u"}}
    document = one(securityContext=options)
    document["spec"] |= {"os": {"name": "linux"}, "securityContext": options}
    assert told(document) == [
        ("spec.securityContext.windowsOptions", LINUX),
        ("spec.containers[0].securityContext.windowsOptions", LINUX),
    ]
    document["spec"]["os"] = {"name": "windows"}
    assert told(document) == []


def test_a_system_has_a_name() -> None:
    assert told(pod(os={"name": ""})) == [("spec.os.name", "Required value: cannot be empty")]


@pytest.mark.parametrize(
    ("user", "problems"),
    [
        ("u", []),
        ("d.example\\u", []),
        ("", ["runAsUserName cannot be an empty string"]),
        ("a\tb", ["runAsUserName cannot contain control characters"]),
        ("a\\b\\c", ["runAsUserName cannot contain more than one backslash"]),
        (".x_\\u", ["runAsUserName's Domain doesn't match the NetBios nor the DNS format"]),
        ("d\\", ["runAsUserName's User cannot be empty"]),
        ("u" * 105, ["runAsUserName's User length must not be longer than 104 characters"]),
        ("..", ["runAsUserName's User cannot contain only periods or spaces"]),
        (
            "a*",
            ["runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"],
        ),
        (
            "d" * 256 + "\\u",
            [
                "runAsUserName's Domain length must be under 256 characters",
                "runAsUserName's Domain doesn't match the NetBios nor the DNS format",
            ],
        ),
    ],
)
def test_the_user_of_a_windows_container(user: str, problems: list[str]) -> None:
    found = told(one(securityContext={"windowsOptions": {"runAsUserName": user}}))
    assert [text.partition('": ')[2] for _, text in found] == problems
    path = "spec.containers[0].securityContext.windowsOptions.runAsUserName"
    assert {field for field, _ in found} <= {path}


@pytest.mark.parametrize(
    ("options", "field", "problem"),
    [
        ({"gmsaCredentialSpecName": "A"}, "gmsaCredentialSpecName", None),
        (
            {"gmsaCredentialSpec": ""},
            "gmsaCredentialSpec",
            "gmsaCredentialSpec cannot be an empty string",
        ),
        (
            {"gmsaCredentialSpec": "x" * 65537},
            "gmsaCredentialSpec",
            "gmsaCredentialSpec size must be under 64 KiB",
        ),
    ],
)
def test_the_account_of_a_windows_pod(
    options: dict[str, str], field: str, problem: str | None
) -> None:
    ((path, text),) = told(pod(securityContext={"windowsOptions": options}))
    assert path == f"spec.securityContext.windowsOptions.{field}"
    assert problem is None or text.endswith(f": {problem}")


def test_processes_of_a_windows_host_are_all_of_a_pod_or_none() -> None:
    def of(first: bool | None, second: bool | None, whole: bool | None, **spec: Any) -> Causes:
        def context(wanted: bool | None) -> dict[str, Any]:
            return {"windowsOptions": {} if wanted is None else {"hostProcess": wanted}}

        containers = [
            {"name": name, "image": "i", "securityContext": context(wanted)}
            for name, wanted in (("a", first), ("b", second))
        ]
        return told(pod(containers=containers, securityContext=context(whole), **spec))

    assert of(None, None, True, hostNetwork=True) == []
    assert of(True, None, None, hostNetwork=True) == [
        (
            "spec",
            'Invalid value: "": If pod contains any hostProcess containers then all containers '
            "must be HostProcess containers",
        )
    ]
    assert of(True, True, None) == [
        (
            "spec.hostNetwork",
            "Invalid value: false: hostNetwork must be true if pod contains any hostProcess "
            "containers",
        )
    ]
    assert of(True, None, False, hostNetwork=True)[0] == (
        "spec.containers[0].securityContext.windowsOptions.hostProcess",
        "Invalid value: true: pod hostProcess value must be identical if both are specified, was "
        "false",
    )


RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}


@pytest.mark.parametrize(
    ("container", "field", "text"),
    [
        (
            {"restartPolicyRules": [RULE]},
            "restartPolicy",
            "Required value: must specify restartPolicy when restart rules are used",
        ),
        (
            {"restartPolicy": "Never", "restartPolicyRules": [RULE] * 21},
            "restartPolicyRules",
            "Too many: 21: must have at most 20 items",
        ),
        (
            {"restartPolicy": "Never", "restartPolicyRules": [{**RULE, "action": "x"}]},
            "restartPolicyRules[0].action",
            'Unsupported value: "x": supported values: "Restart", "RestartAllContainers"',
        ),
        (
            {"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]},
            "restartPolicyRules[0].exitCodes",
            "Required value: must be specified",
        ),
        (
            {
                "restartPolicy": "Never",
                "restartPolicyRules": [{**RULE, "exitCodes": {"operator": "x"}}],
            },
            "restartPolicyRules[0].exitCodes.operator",
            'Unsupported value: "x": supported values: "In", "NotIn"',
        ),
        (
            {
                "restartPolicy": "Never",
                "restartPolicyRules": [
                    {**RULE, "exitCodes": {"operator": "In", "values": list(range(256))}}
                ],
            },
            "restartPolicyRules[0].exitCodes.values",
            "Too many: 256: must have at most 255 items",
        ),
        (
            {"lifecycle": {"stopSignal": "SIGINT"}},
            "lifecycle.stopSignal",
            "Forbidden: may not be set for containers with empty `spec.os.name`",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "key": "K"}}}]},
            "env[0].valueFrom.fileKeyRef.path",
            "Required value",
        ),
    ],
)
def test_how_a_container_ends_and_begins_anew(
    container: dict[str, Any], field: str, text: str
) -> None:
    assert told(one(**container)) == [(f"spec.containers[0].{field}", text)]


def test_a_signal_is_one_of_the_pods_system() -> None:
    def of(system: str, signal: str) -> list[str]:
        document = one(lifecycle={"stopSignal": signal})
        document["spec"]["os"] = {"name": system}
        return [text for _, text in told(document)]

    assert of("linux", "SIGINT") == of("windows", "SIGTERM") == []
    assert of("windows", "SIGINT") == [
        'Unsupported value: "SIGINT": supported values: "SIGKILL", "SIGTERM"'
    ]


def test_the_overhead_of_a_pod_is_of_resources_of_containers() -> None:
    ((field, _),) = told(pod(overhead={"pods": "1"}))
    assert field == "spec.overhead.limits[pods]"


def test_how_labels_of_volumes_change_is_recursive_or_by_mounts() -> None:
    text = 'Unsupported value: "x": supported values: "MountOption", "Recursive"'
    path = "spec.securityContext.seLinuxChangePolicy"
    assert told(pod(securityContext={"seLinuxChangePolicy": "x"})) == [(path, text)]
