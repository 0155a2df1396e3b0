"""What containers are given: documents, variables, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from node_documents import pod, view

from steersman.images.documents import RunConfig
from steersman.model.kinds.configmap import ConfigMap
from steersman.model.kinds.secret import Secret
from steersman.model.kinds.service import Service, ServicePort, ServiceSpec
from steersman.model.view import Meta
from steersman.node.objects import BadConfiguration, Objects, names_of
from steersman.node.render import bundle, downward, environment, files, limits
from steersman.node.render.bundle import Ground
from steersman.node.render.downward import Facts, Machine
from steersman.node.render.expand import expand
from steersman.node.render.resolution import Resolution

FACTS = Facts("10.0.0.1", ("10.0.0.5",))
MACHINE = Machine({"cpu": "4", "memory": "8Gi"})
IMAGE = RunConfig(env=("PATH=/bin", "A=image"), entrypoint=("/entry",), cmd=("arg",))
STORED = {
    ("configmaps", "cm"): ConfigMap(data={"a": "one", "b": "two"}),
    ("secrets", "se"): Secret(data={"pw": b"hush"}),
}
OBJECTS = Objects("default", lambda ref: STORED.get((ref.kind.plural, ref.name)))


def ground(**fields: Any) -> Ground:
    given: dict[str, Any] = {
        "pid": 7,
        "shm": "/shm",
        "layers": [Path("/top"), Path("/bottom")],
        "volumes": {},
        "readonly": (),
        "etc": Path("/pods/etc"),
        "termination_log": Path("/pods/term"),
        "log": Path("/logs/0.log"),
        "memory_bytes": 1000,
    }
    return Ground(**{**given, **fields})


def document(
    env: dict[str, str] | None = None, on: Ground | None = None, **given: Any
) -> dict[str, Any]:
    made = pod(**given)
    return bundle.render_bundle(made, made.spec.containers[0], IMAGE, env or {}, on or ground())


def variables(*given: dict[str, Any], **container: Any) -> dict[str, str]:
    made = pod(env=list(given), **container)
    return environment.render_environment(
        made, made.spec.containers[0], OBJECTS, {}, FACTS, MACHINE, {"FILE": "read"}
    )


def test_variables_from_files_stand_in_their_order_and_those_that_are_not_there_are_none() -> None:
    reference = {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "K"}}
    found = variables(
        {"name": "BEFORE", "value": "$(FILE)"},
        {"name": "FILE", "valueFrom": reference},
        {"name": "NONE", "valueFrom": reference},
        {"name": "AFTER", "value": "$(FILE)"},
    )
    assert found == {"BEFORE": "$(FILE)", "FILE": "read", "AFTER": "read"}


# Expansion


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $ $(", "$A $ $("),
    ],
)
def test_references_are_expanded_as_upstream_does(text: str, wanted: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == wanted


# Variables


def test_variables_come_from_everywhere() -> None:
    found = variables(
        {"name": "PLAIN", "value": "x"},
        {"name": "REF", "value": "$(PLAIN)-$(LATER)"},
        {"name": "LATER", "value": "y"},
        {"name": "CM", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}},
        {"name": "SE", "valueFrom": {"secretKeyRef": {"name": "se", "key": "pw"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    )
    assert found == {
        "PLAIN": "x",
        "REF": "x-$(LATER)",
        "LATER": "y",
        "CM": "one",
        "SE": "hush",
        "IP": "10.0.0.5",
        "CPU": "4",
    }


def test_all_keys_of_an_object_come_with_a_prefix_and_yield_to_single_ones() -> None:
    sources = [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "se"}}]
    found = variables({"name": "P_a", "value": "mine"}, envFrom=sources)
    assert found == {"P_a": "mine", "P_b": "two", "pw": "hush"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "a"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "no", "key": "a"}}, 'secret "no" not found'),
        (
            {"configMapKeyRef": {"name": "cm", "key": "z"}},
            "couldn't find key z in ConfigMap default/cm",
        ),
        (
            {"secretKeyRef": {"name": "se", "key": "z"}},
            "couldn't find key z in Secret default/se",
        ),
    ],
)
def test_what_must_be_there_and_is_not_is_refused(source: dict[str, Any], text: str) -> None:
    with pytest.raises(BadConfiguration, match=f"^{text}$"):
        variables({"name": "X", "valueFrom": source})
    kind = next(iter(source))
    optional = {kind: {**source[kind], "optional": True}}
    assert variables({"name": "X", "valueFrom": optional}) == {}


def service(name: str, namespace: str = "default", address: str = "10.96.0.9") -> Service:
    ports = (ServicePort(port=80, name="http"), ServicePort(port=53, protocol="UDP"))
    return Service(metadata=Meta(name=name, namespace=namespace), spec=_spec(address, ports))


def _spec(address: str, ports: tuple[ServicePort, ...]) -> ServiceSpec:
    return ServiceSpec(cluster_ip=address, ports=ports)


def test_services_are_told_in_variables() -> None:
    found = environment.service_variables([service("my-db")], pod())
    assert found == {
        "MY_DB_SERVICE_HOST": "10.96.0.9",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_HTTP": "80",
        "MY_DB_PORT": "tcp://10.96.0.9:80",
        "MY_DB_PORT_80_TCP": "tcp://10.96.0.9:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.96.0.9",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.9:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.9",
    }


def test_other_namespaces_headless_services_and_refused_links_are_not_told() -> None:
    others = [service("x", "other"), service("y", address="None"), service("kubernetes")]
    others.append(service("z"))
    found = environment.service_variables(others, pod(spec={"enableServiceLinks": False}))
    assert {name.partition("_")[0] for name in found} == {"KUBERNETES"}
    assert environment.service_variables(others[:2], pod()) == {}
    bare = Service(
        metadata=Meta(name="bare", namespace="default"), spec=ServiceSpec(cluster_ip="10.96.0.8")
    )
    assert environment.service_variables([bare], pod()) == {}


# Downward


def test_fields_of_a_pod() -> None:
    made = pod(
        metadata={"labels": {"b": "2", "a": 'x"y'}, "annotations": {"k/n": "v"}},
        spec={"serviceAccountName": "me"},
    )
    texts = {
        "metadata.name": "web",
        "metadata.namespace": "default",
        "metadata.labels": 'a="x\\"y"\nb="2"',
        "metadata.labels['b']": "2",
        "metadata.annotations['k/n']": "v",
        "metadata.annotations['no']": "",
        "spec.nodeName": "vm",
        "spec.serviceAccountName": "me",
        "status.hostIP": "10.0.0.1",
        "status.podIPs": "10.0.0.5",
    }
    assert {path: downward.field(made, path, FACTS) for path in texts} == texts
    with pytest.raises(BadConfiguration, match=r"unsupported fieldPath: spec\.what"):
        downward.field(made, "spec.what", FACTS)


@pytest.mark.parametrize(
    ("name", "divisor", "text"),
    [
        ("limits.memory", "1Mi", "2"),
        ("limits.memory", "0", str(1536 * 1024)),
        ("requests.cpu", "0", "1"),
        ("requests.cpu", "1m", "250"),
        ("limits.cpu", "0", "4"),
        ("requests.memory", "0", "0"),
    ],
)
def test_amounts_are_rounded_up_and_default_to_the_node(name: str, divisor: str, text: str) -> None:
    made = pod(resources={"limits": {"memory": "1536Ki"}, "requests": {"cpu": "250m"}})
    selector = {"resource": name, "divisor": divisor}
    found = variables(
        {"name": "X", "valueFrom": {"resourceFieldRef": selector}},
        resources={"limits": {"memory": "1536Ki"}, "requests": {"cpu": "250m"}},
    )
    assert made.spec.containers[0].resources.limits == {"memory": "1536Ki"}
    assert found == {"X": text}


# Documents


@pytest.mark.parametrize(
    ("command", "args", "wanted"),
    [
        ([], [], ["/entry", "arg"]),
        ([], ["x"], ["/entry", "x"]),
        (["c"], [], ["c"]),
        (["c", "$(A)"], ["$(B)"], ["c", "image", "$(B)"]),
    ],
)
def test_a_command_replaces_entrypoint_and_arguments_replace_cmd(
    command: list[str], args: list[str], wanted: list[str]
) -> None:
    assert document(command=command, args=args)["process"]["args"] == wanted


def test_an_image_without_a_command_is_refused() -> None:
    made = pod()
    with pytest.raises(BadConfiguration, match="no command specified"):
        bundle.render_bundle(made, made.spec.containers[0], RunConfig(), {}, ground())


def test_variables_of_the_pod_go_over_those_of_the_image() -> None:
    assert document({"A": "pod"})["process"]["env"] == ["PATH=/bin", "A=pod"]


def test_the_document_stands_on_its_ground() -> None:
    made = document(workingDir="/w", tty=True, stdin=True)
    assert made["process"]["cwd"] == "/w"
    assert made["process"]["terminal"] is True
    extra = made["steersman"]
    assert extra["layers"] == ["/top", "/bottom"]
    assert extra["log"] == "/logs/0.log"
    assert (extra["stdin"], extra["seccomp"]) == (True, "default")
    namespaces = {it["type"]: it.get("path") for it in made["linux"]["namespaces"]}
    assert namespaces["network"] == "/proc/7/ns/net"


def mounts(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {it["destination"]: it for it in made["mounts"] if it["type"] == "bind"}


def test_managed_files_and_the_termination_log_are_mounted() -> None:
    found = mounts(document(terminationMessagePath="/tmp/end"))
    assert found["/etc/hosts"]["source"] == "/pods/etc/hosts"
    assert found["/etc/hostname"]["source"] == "/pods/etc/hostname"
    assert found["/etc/resolv.conf"]["source"] == "/pods/etc/resolv.conf"
    assert found["/tmp/end"]["source"] == "/pods/term"


def test_volumes_are_mounted_and_what_the_node_keeps_is_read_only() -> None:
    where = ground(volumes={"v": Path("/v"), "k": Path("/k")}, readonly=("k",))
    wanted = [
        {"name": "v", "mountPath": "/a/b/c", "subPathExpr": "$(A)/x"},
        {"name": "v", "mountPath": "/a"},
        {"name": "v", "mountPath": "/ro", "readOnly": True},
        {"name": "k", "mountPath": "/kept", "mountPropagation": "HostToContainer"},
        {"name": "v", "mountPath": "/etc/hosts"},
        {"name": "v", "mountPath": "/rro", "readOnly": True, "recursiveReadOnly": "Enabled"},
        {"name": "v", "mountPath": "/may", "readOnly": True, "recursiveReadOnly": "IfPossible"},
        {"name": "v", "mountPath": "/not", "readOnly": True, "recursiveReadOnly": "Disabled"},
    ]
    made = document(on=where, volumeMounts=wanted)
    found = mounts(made)
    assert found["/a/b/c"]["subPath"] == "image/x"
    assert "rw" in found["/a"]["options"]
    assert "ro" in found["/ro"]["options"]
    assert {"ro", "rslave"} <= set(found["/kept"]["options"])
    assert [it for it in found if "rro" in found[it]["options"]] == ["/rro", "/may"]
    assert found["/etc/hosts"]["source"] == "/v"
    assert [it["source"] for it in made["mounts"] if it["destination"] == "/etc/hosts"] == ["/v"]
    order = [it["destination"] for it in made["mounts"]]
    assert order.index("/a") < order.index("/a/b/c")


@pytest.mark.parametrize(
    ("shared", "own", "label"),
    [
        ({}, None, None),
        ({"level": "s0:c1,c2"}, None, "system_u:system_r:container_t:s0:c1,c2"),
        ({"level": "s0:c1"}, {"type": "my_t", "user": "u"}, "u:system_r:my_t:s0"),
    ],
)
def test_selinux_options_are_a_label_where_the_kernel_has_such_labels(
    shared: dict[str, str], own: dict[str, str] | None, label: str | None
) -> None:
    given: dict[str, Any] = {"spec": {"securityContext": {"seLinuxOptions": shared}}}
    if own is not None:
        given["securityContext"] = {"seLinuxOptions": own}
    assert document(on=ground(selinux=True), **given)["process"].get("selinuxLabel") == label
    assert "selinuxLabel" not in document(**given)["process"]
    alone = {**given.get("securityContext", {}), "privileged": True}
    privileged = document(on=ground(selinux=True), **{**given, "securityContext": alone})
    assert "selinuxLabel" not in privileged["process"]


def test_a_volume_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="volume v is not there"):
        document(volumeMounts=[{"name": "v", "mountPath": "/a"}])


def user(pod_level: dict[str, Any], own: dict[str, Any], name: str = "") -> dict[str, Any]:
    made = pod(spec={"securityContext": pod_level}, securityContext=own)
    image = RunConfig(cmd=("x",), user=name)
    found = bundle.render_bundle(made, made.spec.containers[0], image, {}, ground())
    result: dict[str, Any] = found["process"]["user"]
    return result


def test_who_a_container_runs_as() -> None:
    assert user({}, {})["username"] == "0"
    assert user({}, {}, "app:staff")["username"] == "app:staff"
    assert "imageGroups" not in user({"supplementalGroupsPolicy": "Merge"}, {})
    assert user({"supplementalGroupsPolicy": "Strict"}, {})["imageGroups"] is False
    assert user({"runAsUser": 5}, {}, "app")["username"] == "5"
    assert user({"runAsUser": 5}, {"runAsUser": 6, "runAsGroup": 7})["username"] == "6:7"
    assert user({"runAsGroup": 7}, {}, "app:staff")["username"] == "app:7"
    groups = user({"supplementalGroups": [8], "fsGroup": 9}, {})["additionalGids"]
    assert groups == [8, 9]


@pytest.mark.parametrize(
    ("own", "name", "text"),
    [
        ({"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "0", "container has runAsNonRoot and image will run as root"),
        (
            {},
            "app",
            "container has runAsNonRoot and image has non-numeric user (app), "
            "cannot verify user is non-root",
        ),
    ],
)
def test_root_is_refused_where_it_must_not_be(own: dict[str, Any], name: str, text: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        user({"runAsNonRoot": True}, own, name)
    assert str(caught.value).startswith(f'{text} (pod: "web_default(')
    assert user({"runAsNonRoot": True}, {"runAsNonRoot": False})["username"] == "0"
    assert user({"runAsNonRoot": True}, {}, "12")["username"] == "12"


def capabilities(**asked: Any) -> set[str]:
    made = document(securityContext={"capabilities": asked})
    return set(made["process"]["capabilities"]["effective"])


def test_capabilities_are_added_and_dropped() -> None:
    default = capabilities()
    assert "CAP_CHOWN" in default
    assert "CAP_SYS_ADMIN" not in default
    assert capabilities(add=["SYS_ADMIN"]) == default | {"CAP_SYS_ADMIN"}
    assert capabilities(drop=["CHOWN"]) == default - {"CAP_CHOWN"}
    assert capabilities(drop=["ALL"], add=["NET_BIND_SERVICE"]) == {"CAP_NET_BIND_SERVICE"}
    assert "CAP_SYS_ADMIN" in capabilities(add=["ALL"])


def test_security_of_a_container() -> None:
    made = document(
        securityContext={
            "privileged": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
        }
    )
    assert made["root"]["readonly"] is True
    assert made["process"]["noNewPrivileges"] is True
    assert made["steersman"]["seccomp"] == ""
    assert made["linux"]["maskedPaths"] == []
    plain = document()
    assert plain["root"]["readonly"] is False
    assert plain["process"]["noNewPrivileges"] is False
    assert plain["linux"]["maskedPaths"] != []


def test_an_unmasked_proc_is_neither_hidden_nor_read_only() -> None:
    linux = document(securityContext={"procMount": "Unmasked"})["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == ([], [])
    assert document()["linux"]["readonlyPaths"] != []


def test_a_container_begins_where_it_says_or_its_image_or_at_the_root() -> None:
    for own, image, wanted in (("/own", "/image", "/own"), ("", "/image", "/image"), ("", "", "/")):
        made = pod(command=["x"], workingDir=own)
        app, config = made.spec.containers[0], RunConfig(working_dir=image)
        assert bundle.render_bundle(made, app, config, {}, ground())["process"]["cwd"] == wanted


def test_seccomp_profiles() -> None:
    unconfined = {"seccompProfile": {"type": "Unconfined"}}
    assert document(securityContext=unconfined)["steersman"]["seccomp"] == ""
    assert document(spec={"securityContext": unconfined})["steersman"]["seccomp"] == ""
    local = {"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}
    with pytest.raises(BadConfiguration, match="Localhost"):  # never without what was read
        document(securityContext=local)
    assert document(securityContext={**local, "privileged": True})["steersman"]["seccomp"] == ""
    made, profile = pod(command=["x"], securityContext=local), {"defaultAction": "SCMP_ACT_ALLOW"}
    held = replace(ground(), seccomp=profile)
    told = bundle.render_bundle(made, made.spec.containers[0], RunConfig(), {}, held)
    assert (told["linux"]["seccomp"], told["steersman"]["seccomp"]) == (profile, "")


# Limits


def test_limits_reach_the_kernel_as_the_kubelet_has_them() -> None:
    made = pod(resources={"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}})
    assert limits.render_resources(made, made.spec.containers[0]) == {
        "cpu": {"shares": 256, "quota": 50_000, "period": 100_000},
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
    }
    assert limits.render_resources(pod(), pod().spec.containers[0]) == {"cpu": {"shares": 2}}
    tiny = pod(resources={"limits": {"cpu": "1m"}})
    assert limits.render_resources(tiny, tiny.spec.containers[0])["cpu"]["quota"] == 1000


def test_a_pod_is_bounded_only_where_all_of_its_containers_are() -> None:
    bounded = {"resources": {"limits": {"memory": "1Mi", "cpu": "1"}}}
    one = {"name": "a", "image": "i", **bounded}
    two = {"name": "b", "image": "i", **bounded}
    found = limits.render_pod_resources(pod(spec={"containers": [one, two]}))
    assert found["memory"]["limit"] == 2 << 20
    assert found["cpu"] == {"shares": 2048, "quota": 200_000, "period": 100_000}
    free = {"name": "c", "image": "i"}
    for order in ([one, free], [free, one]):
        found = limits.render_pod_resources(pod(spec={"containers": order}))
        assert found == {"cpu": {"shares": 1024}}


@pytest.mark.parametrize(
    ("quality", "asked", "score"),
    [
        ("Guaranteed", "500", -997),
        ("BestEffort", "0", 1000),
        ("Burstable", "500", 500),
        ("Burstable", "0", 999),
        ("Burstable", "1000", 3),
    ],
)
def test_who_is_killed_first_for_memory(quality: str, asked: str, score: int) -> None:
    made = pod(status={"qosClass": quality}, resources={"requests": {"memory": asked}})
    assert limits.oom_score(made, made.spec.containers[0], 1000) == score


def test_what_a_pod_asks_for_as_a_whole_bounds_its_group_and_containers_without_bounds() -> None:
    own = {"name": "a", "image": "i", "resources": {"limits": {"cpu": "100m"}}}
    free = {"name": "b", "image": "i"}
    amounts = {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "2", "memory": "4Mi"}}
    spec = {"resources": amounts, "overhead": {"cpu": "500m", "memory": "1Mi"}}
    made = pod(spec={**spec, "containers": [own, free]}, status={"qosClass": "Burstable"})
    assert limits.render_pod_resources(made) == {
        "cpu": {"shares": 1536, "quota": 250_000, "period": 100_000},
        "memory": {"limit": 5 << 20, "swap": 5 << 20},
    }
    one, other = (limits.render_resources(made, it) for it in made.spec.containers)
    assert (one["cpu"]["quota"], one["memory"]["limit"]) == (10_000, 4 << 20)
    assert (other["cpu"]["quota"], other["memory"]["limit"]) == (200_000, 4 << 20)
    # Half of the pod's mebibyte counts for each, of 4 MiB that there are
    assert limits.oom_score(made, made.spec.containers[1], 4 << 20) == 875


# Files


def test_a_pod_knows_itself_by_name() -> None:
    spec = {
        "hostname": "me",
        "subdomain": "sub",
        "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}],
    }
    text = files.render_hosts(pod(spec=spec), ["10.0.0.5"], "cluster.local")
    assert "10.0.0.5\tme.sub.default.svc.cluster.local\tme\n" in text
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert "10.0.0.5\tweb\n" in files.render_hosts(pod(), ["10.0.0.5"], "cluster.local")


def test_a_name_that_overrides_stands_alone() -> None:
    made = pod(spec={"hostname": "me", "subdomain": "sub", "hostnameOverride": "other.example"})
    assert files.hostname(made) == "other.example"
    assert "10.0.0.5\tother.example\n" in files.render_hosts(made, ["10.0.0.5"], "cluster.local")


@pytest.mark.parametrize("shared", [True, False])
def test_a_pod_in_the_nodes_network_has_the_nodes_names_and_its_own_entries(
    tmp_path: Path, shared: bool
) -> None:
    aliases = [{"ip": "1.2.3.4", "hostnames": ["a"]}]
    made = pod(spec={"hostNetwork": shared, "hostAliases": aliases})
    where = tmp_path / "pod" / "etc"
    for _ in range(2):  # a sandbox may be made anew
        files.write_all(made, where, ["10.0.0.5"], Resolution("10.96.0.10", "cluster.local", ""))
    hosts, name = (where / "hosts").read_text(), (where / "hostname").read_text()
    assert hosts.endswith("1.2.3.4\ta\n")
    own = "# Kubernetes-managed hosts file (host network).\n" + Path("/etc/hosts").read_text()
    assert hosts.startswith(own) is shared
    assert name == (Path("/proc/sys/kernel/hostname").read_text() if shared else "web\n")


def test_a_long_name_is_cut_to_a_host_name() -> None:
    made = pod(metadata={"name": "x" * 62 + ".yy"})
    assert files.hostname(made) == "x" * 62


# What a pod names


def test_everything_that_a_pod_names_is_found() -> None:
    made = view(
        {
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
                "containers": [
                    {
                        "name": "a",
                        "envFrom": [{"configMapRef": {"name": "c1"}}],
                        "env": [
                            {
                                "name": "x",
                                "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}},
                            },
                            {
                                "name": "y",
                                "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}},
                            },
                        ],
                    }
                ],
                "volumes": [
                    {"name": "1", "configMap": {"name": "c3"}},
                    {"name": "2", "secret": {"secretName": "s3"}},
                    {
                        "name": "3",
                        "projected": {
                            "sources": [{"configMap": {"name": "c4"}}, {"secret": {"name": "s4"}}]
                        },
                    },
                ],
            },
        }
    )
    wanted = {("configmap", f"c{n}") for n in range(1, 5)}
    assert names_of(made) == wanted | {("secret", f"s{n}") for n in range(1, 5)}


@pytest.mark.parametrize(("readonly", "access"), [(False, "rwm"), (True, "rm")])
def test_a_volume_is_a_device_that_the_container_may_use(readonly: bool, access: str) -> None:
    here = ground(devices={"disk": bundle.Device(7, 3, readonly)})
    used = [{"name": "disk", "devicePath": "/dev/xvda"}]
    linux = document(on=here, volumeDevices=used)["linux"]
    number = {"type": "b", "major": 7, "minor": 3}
    assert linux["devices"] == [{"path": "/dev/xvda", "fileMode": 0o660, **number}]
    assert linux["resources"]["devices"] == [{"allow": True, "access": access, **number}]
    assert "devices" not in document(on=here)["linux"]
