"""Rows of upstream's conformance suite about containers, several to one pod, on a real node.

The rows are those of test/e2e/common/node: configmap.go, secrets.go, downwardapi.go, expansion.go,
containers.go, runtime.go, lifecycle_hook.go, security_context.go, kubelet.go, sysctl.go and others.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_cluster import IMAGE, SLEEP, Cluster, Session, clusters, ended, hears, needs_root, runs
from test_node_agent import grpc_answer

from steersman.model.errors import Invalid
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.secret import SECRET
from steersman.model.kinds.service import SERVICE
from steersman.model.types.condition import is_true

pytestmark = needs_root


class Manifests(http.server.BaseHTTPRequestHandler):
    """Serves static pods to who says who it is."""

    def do_GET(self) -> None:
        """Answers."""
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "remote"}}
        pod["spec"] = {"containers": [shell("app", SLEEP)]}
        body = json.dumps(pod).encode()
        self.send_response(200 if self.headers["X-Node"] == "mine" else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Manifests)
    url = f"http://127.0.0.1:{server.server_port}/pods"
    threading.Thread(target=server.serve_forever).start()
    options = ("--manifest-url", url, "--manifest-url-header", "X-Node: mine")
    try:
        with clusters("--allowed-unsafe-sysctls", "kernel.msgmni", *options) as found:
            yield found
    finally:
        server.shutdown()
        server.server_close()


def test_a_static_pod_of_a_url_runs_and_is_mirrored(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        found = await session.until(f"remote-{node.metadata.name}", runs)
        assert found.metadata.annotations["kubernetes.io/config.source"] == "http"

    cluster.run(scenario)


def shell(name: str, script: str, **fields: Any) -> dict[str, Any]:
    """A container."""
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **fields}


async def several(session: Session, name: str, *containers: Any, **spec: Any) -> Pod:
    """Creates a pod of several containers that is not restarted."""
    whole = {"containers": list(containers), "restartPolicy": "Never", **spec}
    document = {"metadata": {"name": name, "labels": {"row": name}}, "spec": whole}
    made: Pod = await session.client.create(POD, document, namespace="default")
    return made


def field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def amount(name: str, resource: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": resource}}}


def test_a_rule_has_all_containers_begin_anew_where_they_are(cluster: Cluster) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    shared: dict[str, Any] = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
    watch = "while test ! -e /d/app; do sleep 0.05; done; test -e /d/w || { touch /d/w; exit 88; }"
    again = {"restartPolicy": "Always", "restartPolicyRules": [rule]}
    inits = [
        shell("setup", "echo here >> /d/setups", **shared),
        shell("watch", f"{watch}; {SLEEP}", **again, **shared),
    ]
    app = shell("app", f"touch /d/app; {SLEEP}", **shared)

    def begun_anew(it: Pod) -> bool:
        status = it.status
        told = (*status.init_container_statuses, *status.container_statuses)
        return runs(it) and [one.restart_count for one in told] == [1, 1, 1]

    async def scenario(session: Session) -> None:
        volume = {"name": "d", "emptyDir": {}}
        await several(session, "anew", app, initContainers=inits, volumes=[volume])
        before = await session.until("anew", lambda it: it.status.pod_ip)
        found = await session.until("anew", begun_anew)
        assert found.status.pod_ip == before.status.pod_ip
        assert (cluster.volume(found, "d") / "setups").read_text() == "here\n" * 2
        (last,) = (it.last_state.terminated for it in found.status.container_statuses)
        assert last is not None
        assert last.exit_code == 0, "it had the time to end by itself"
        await session.delete("anew", 0)

    cluster.run(scenario)


def test_variables_come_from_objects_fields_amounts_and_each_other(cluster: Cluster) -> None:
    sources = [
        {"prefix": prefix, kind: {"name": "source"}}
        for kind in ("configMapRef", "secretRef")
        for prefix in ("", f"{kind[0]}-", "1$_")
    ]
    fields = {"NAME": "metadata.name", "NAMESPACE": "metadata.namespace", "UID": "metadata.uid",
              "IP": "status.podIP", "HOST": "status.hostIP", "HOSTS": "status.hostIPs"}  # fmt: skip
    amounts = {f"{side}_{name}".upper(): f"{side}.{name}"
               for side in ("limits", "requests") for name in ("cpu", "memory")}  # fmt: skip
    references = {"MAP": "configMapKeyRef", "HIDDEN": "secretKeyRef"}
    env = [
        *(field(*it) for it in fields.items()),
        *(amount(*it) for it in amounts.items()),
        *({"name": it, "valueFrom": {key: {"name": "source", "key": "data-1"}}}
          for it, key in references.items()),
        {"name": "FOO", "value": "foo-value"},
        {"name": "FOOBAR", "value": "$(FOO);;$(MAP)"},
    ]  # fmt: skip
    bounds = {"requests": {"cpu": "250m", "memory": "32Mi"},
              "limits": {"cpu": "1250m", "memory": "64Mi"}}  # fmt: skip

    async def scenario(session: Session) -> None:
        for kind, key in ((CONFIGMAP, "data"), (SECRET, "stringData")):
            values = {"data-1": f"{kind.name} 1", "data_2": f"{kind.name} 2"}
            document = {"metadata": {"name": "source"}, key: values}
            await session.client.create(kind, document, namespace="default")
        served = {"metadata": {"name": "foo-service"}, "spec": {"ports": [{"port": 8765}]}}
        service = await session.client.create(SERVICE, served, namespace="default")
        word = {"name": "app", "image": IMAGE, "env": [{"name": "A", "value": "and b"}]}
        words = {"command": ["sh", "-c", 'echo "$(A)" "$0" "$1"'], "args": ["$(A)", "$$(A)"]}
        await several(session, "words", {**word, **words})
        assert cluster.log(await session.until("words", ended)) == "and b and b $(A)\n"
        # Not by a shell, which drops names that are none in it
        program = {"image": IMAGE, "command": ["/bin/busybox", "env"], "env": env}
        await several(
            session, "variables",
            {**program, "name": "bounded", "envFrom": sources, "resources": bounds},
            {**program, "name": "free"},
        )  # fmt: skip
        pod = await session.until("variables", ended)
        assert pod.status.phase == "Succeeded"
        (node,) = (await session.client.list(NODE)).items
        lines = cluster.log(pod, "bounded").splitlines()
        told = dict(line.split("=", 1) for line in lines)
        wanted = {
            "NAME": "variables", "NAMESPACE": "default", "UID": pod.metadata.uid,
            "IP": pod.status.pod_ip, "HOST": pod.status.host_ip, "HOSTS": pod.status.host_ip,
            "LIMITS_CPU": "2", "LIMITS_MEMORY": str(64 << 20),
            "REQUESTS_CPU": "1", "REQUESTS_MEMORY": str(32 << 20),
            "MAP": "ConfigMap 1", "HIDDEN": "Secret 1", "FOOBAR": "foo-value;;ConfigMap 1",
            "FOO_SERVICE_SERVICE_HOST": service.spec.cluster_ip,
            "FOO_SERVICE_SERVICE_PORT": "8765",
            "FOO_SERVICE_PORT": f"tcp://{service.spec.cluster_ip}:8765",
            "FOO_SERVICE_PORT_8765_TCP_ADDR": service.spec.cluster_ip,
            "c-data-1": "ConfigMap 1", "c-data_2": "ConfigMap 2", "s-data-1": "Secret 1",
            "s-data_2": "Secret 2", "1$_data-1": "Secret 1", "data-1": "Secret 1",
        }  # fmt: skip
        assert {name: told.get(name) for name in wanted} == wanted
        told = dict(line.split("=", 1) for line in cluster.log(pod, "free").splitlines())
        allocatable = node.status.allocatable
        assert told["LIMITS_CPU"] == allocatable["cpu"]
        assert told["LIMITS_MEMORY"] == str(int(allocatable["memory"].removesuffix("Ki")) * 1024)
        for name in ("words", "variables"):
            await session.delete(name)

    cluster.run(scenario)


def test_paths_in_volumes_are_made_of_variables(cluster: Cluster) -> None:
    mounts = [{"name": "d", "mountPath": "/all"},
              {"name": "d", "mountPath": "/own", "subPathExpr": "$(NAME)/$(NOTE)"}]  # fmt: skip
    volumes = [{"name": "d", "emptyDir": {}}]

    def one(value: str) -> dict[str, Any]:
        mount = {**mounts[1], "subPathExpr": "$(BAD)"}
        return shell("app", "true", env=[{"name": "BAD", "value": value}], volumeMounts=[mount])

    async def scenario(session: Session) -> None:
        env = [field("NAME", "metadata.name"), field("NOTE", "metadata.annotations['note']")]
        script = "echo mine > /own/file; cat /all/paths/here/file"
        container = shell("app", script, env=env, volumeMounts=mounts)
        pod = await several(session, "paths", container, volumes=volumes)
        assert await hears(session, pod, "Failed") == "Error: missing value for NOTE"
        ref = POD.ref("default", "paths")
        await session.client.patch(ref, {"metadata": {"annotations": {"note": "here"}}})
        pod = await session.until("paths", ended)
        assert cluster.log(pod) == "mine\n"
        for name, value, why in (
            ("absolute", "/tmp", "error SubPath `/tmp` must not be an absolute path"),
            ("above", "..", "unable to provision SubPath `..`: must not contain '..'"),
        ):
            pod = await several(session, name, one(value), volumes=volumes)
            assert await hears(session, pod, "Failed") == f"Error: {why}"
            assert (await session.until(name, lambda it: it)).status.phase == "Pending"
            await session.delete(name)
        await session.delete("paths")

    cluster.run(scenario)


def test_a_container_says_why_it_ended(cluster: Cluster) -> None:
    quiet = {"terminationMessagePolicy": "FallbackToLogsOnError"}

    async def scenario(session: Session) -> None:
        await several(
            session, "messages",
            shell("nobody", "echo -n DONE > /dev/own-log", terminationMessagePath="/dev/own-log",
                  securityContext={"runAsUser": 1000}),
            shell("file", "echo -n OK > /dev/termination-log; echo other", **quiet),
            shell("empty", "echo DONE", **quiet),
            shell("fails", "echo -n DONE; exit 1", **quiet),
        )  # fmt: skip
        pod = await session.until("messages", ended)
        assert pod.status.phase == "Failed"
        states = {it.name: it.state.terminated for it in pod.status.container_statuses}
        told = {name: (it.message, it.exit_code) for name, it in states.items() if it is not None}
        wanted = {"nobody": ("DONE", 0), "file": ("OK", 0), "empty": ("", 0), "fails": ("DONE", 1)}
        assert {name: (it[0].rstrip("\n"), it[1]) for name, it in told.items()} == wanted
        assert [it.reason for it in states.values() if it] == [*["Completed"] * 3, "Error"]
        await session.delete("messages")

    cluster.run(scenario)


def test_who_a_container_is_and_what_it_may(cluster: Cluster) -> None:
    show = "busybox id -u; busybox id -g; grep NoNewPrivs /proc/self/status"
    write = "touch /file && echo written || echo refused"
    link = "busybox ip link add none0 type dummy && echo made || echo refused"
    hosts = "cat /etc/hosts"

    def secured(name: str, script: str, **context: Any) -> dict[str, Any]:
        return shell(name, script, securityContext=context)

    async def scenario(session: Session) -> None:
        aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
        mount = [{"name": "d", "mountPath": "/etc/hosts", "subPath": "hosts"}]
        await several(
            session, "secured",
            secured("user", show, runAsUser=65534),
            secured("group", show, runAsUser=1001, runAsGroup=2002),
            shell("pods", show),
            secured("tight", show, allowPrivilegeEscalation=False),
            secured("written", write, runAsUser=0, readOnlyRootFilesystem=False),
            secured("readonly", write, runAsUser=0, readOnlyRootFilesystem=True),
            secured("plain", link, runAsUser=0, privileged=False),
            shell("hosts", hosts),
            shell("other", hosts, volumeMounts=mount),
            initContainers=[shell("fill", "echo own > /d/hosts", securityContext={"runAsUser": 0},
                                  volumeMounts=[{"name": "d", "mountPath": "/d"}])],
            volumes=[{"name": "d", "emptyDir": {}}],
            hostAliases=aliases,
            securityContext={"runAsUser": 1003, "runAsGroup": 3003, "supplementalGroups": [77]},
        )  # fmt: skip
        await several(session, "ofnode", shell("app", hosts), hostNetwork=True)
        pod = await session.until("secured", ended)
        told = {it.name: cluster.log(pod, it.name) for it in pod.spec.containers}
        assert told["user"].split()[:2] == ["65534", "3003"]
        assert told["group"].split()[:2] == ["1001", "2002"]
        assert told["pods"].split() == ["1003", "3003", "NoNewPrivs:", "0"]
        assert told["tight"].split()[3] == "1"
        assert (told["written"], told["readonly"]) == (
            "written\n",
            "touch: /file: Read-only file system\nrefused\n",
        )
        assert told["plain"].endswith("refused\n")
        document = await session.client.read(f"/api/v1/namespaces/default/pods/{pod.metadata.name}")
        statuses = {it["name"]: it["user"] for it in document["status"]["containerStatuses"]}
        user = {"uid": 1001, "gid": 2002, "supplementalGroups": [2002, 77]}
        assert statuses["group"] == {"linux": user}
        assert "# Kubernetes-managed hosts file.\n" in told["hosts"]
        assert re.search(r"^123.45.67.89\s+foo\s+bar$", told["hosts"], re.MULTILINE)
        assert told["other"] == "own\n"
        node = await session.until("ofnode", ended)
        assert "# Kubernetes-managed hosts file." not in cluster.log(node)
        for name in ("secured", "ofnode"):
            await session.delete(name)

    cluster.run(scenario)


def test_hooks_are_run_after_the_start_and_before_the_end(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.create(
            "server", script="touch /http-start /http-stop; exec httpd -f -vv -p 8080 -h /"
        )
        server = await session.until("server", runs)
        address = server.status.pod_ip

        def ask(what: str) -> dict[str, Any]:
            return {"httpGet": {"host": address, "port": 8080, "path": f"/{what}"}}

        def call(what: str) -> dict[str, Any]:
            line = f"GET /{what} HTTP/1.0"
            script = f"busybox printf '{line}\\r\\n\\r\\n' | nc {address} 8080"
            return {"exec": {"command": ["sh", "-c", script]}}

        for kind, make in (("http", ask), ("exec", call)):
            hooks = {"postStart": make(f"{kind}-start"), "preStop": make(f"{kind}-stop")}
            await session.create(kind, script=SLEEP, lifecycle=hooks)
        for kind in ("http", "exec"):
            await session.until(kind, runs)
            assert f"url:/{kind}-start" in cluster.log(server)
            assert f"url:/{kind}-stop" not in cluster.log(server)
            await session.delete(kind)
            assert f"url:/{kind}-stop" in cluster.log(server)
        await session.delete("server", grace=0)

    cluster.run(scenario)


def test_init_containers_that_fail_hold_up_a_pod_or_end_it(cluster: Cluster) -> None:
    order = [shell("first", "true"), shell("second", "true")]
    fails = [shell("first", "exit 1"), shell("second", "true")]

    def condition(pod: Pod) -> tuple[str, str, str]:
        (found,) = [it for it in pod.status.conditions if it.type == "Initialized"]
        return found.status, found.reason, found.message

    async def scenario(session: Session) -> None:
        app = shell("app", SLEEP)
        await several(session, "once", shell("app", "true"), initContainers=order)
        await several(session, "always", app, initContainers=order, restartPolicy="Always")
        await several(session, "never", app, initContainers=fails)
        await several(session, "again", app, initContainers=fails, restartPolicy="Always")
        pod = await session.until("once", ended)
        assert pod.status.phase == "Succeeded"
        for one in (pod, await session.until("always", runs)):
            assert condition(one)[0] == "True"
            ends = [it.state.terminated for it in one.status.init_container_statuses]
            assert [it.exit_code for it in ends if it is not None] == [0, 0]
            assert all(it.ready for it in one.status.init_container_statuses)
        pod = await session.until("never", ended)
        assert pod.status.phase == "Failed"
        text = "containers with incomplete status: [first second]"
        assert condition(pod) == ("False", "ContainersNotInitialized", text)
        pod = await session.until(
            "again", lambda it: it.status.init_container_statuses
            and it.status.init_container_statuses[0].restart_count >= 2
        )  # fmt: skip
        assert pod.status.phase == "Pending"
        assert condition(pod) == ("False", "ContainersNotInitialized", text)
        (status,) = pod.status.container_statuses
        assert status.state.waiting is not None
        assert status.state.waiting.reason == "PodInitializing"
        assert (status.restart_count, status.started) == (0, False)
        for name in ("once", "always", "never", "again"):
            await session.delete(name)

    cluster.run(scenario)


def test_probes_restart_what_is_ill_and_nothing_else(cluster: Cluster) -> None:
    quick = {"periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 1}

    def serving(name: str, port: int, probe: dict[str, Any]) -> dict[str, Any]:
        script = f"touch /healthz; httpd -p {port} -h /; {SLEEP}"
        return shell(name, script, livenessProbe={**quick, **probe})

    async def scenario(session: Session) -> None:
        cat = {"exec": {"command": ["cat", "/tmp-health"]}}
        await several(
            session, "probed",
            shell("exec-ill", f"sleep 600 & {SLEEP}", livenessProbe={**quick, **cat}),
            shell("exec-well", f"touch /tmp-health; {SLEEP}", livenessProbe={**quick, **cat}),
            serving("http-ill", 8081, {"httpGet": {"port": 8081, "path": "/none"}}),
            serving("http-well", 8082, {"httpGet": {"port": 8082, "path": "/healthz"}}),
            serving("tcp-well", 8083, {"tcpSocket": {"port": 8083}}),
            shell("never", SLEEP, readinessProbe={**quick, **cat}),
            shell("late", SLEEP, readinessProbe={**quick, "initialDelaySeconds": 4,
                                                 "exec": {"command": ["busybox", "true"]}}),
            restartPolicy="Always",
        )  # fmt: skip
        counts: list[int] = []

        def ill(pod: Pod) -> bool:
            known = {it.name: it for it in pod.status.container_statuses}
            if known:
                counts.append(known["exec-ill"].restart_count)
            return bool(known) and min(
                known[it].restart_count for it in ("exec-ill", "http-ill")
            ) >= 2  # fmt: skip

        pod = await session.until("probed", ill)
        assert counts == sorted(counts)
        known = {it.name: it for it in pod.status.container_statuses}
        for name in ("exec-well", "http-well", "tcp-well", "never", "late"):
            assert known[name].restart_count == 0, name
            assert known[name].ready == (name != "never"), name
        assert pod.status.phase == "Running"
        await session.delete("probed", grace=0)

    cluster.run(scenario)


def test_a_grpc_probe_restarts_what_is_ill_and_nothing_else(cluster: Cluster) -> None:
    mount = [{"name": "answers", "mountPath": "/answers"}]

    def serving(name: str, port: int) -> dict[str, Any]:
        # settings first, and the answer when the call has come: of 48 bytes is what is before it
        settings = "printf '\\0\\0\\0\\4\\0\\0\\0\\0\\0'"
        serve = f"{settings}; busybox head -c 60 > /dev/null; cat /answers/{name}"
        script = f'while true; do nc -l -p {port} -e sh -c "{serve}"; done'
        probe = {"grpc": {"port": port}, "periodSeconds": 1, "failureThreshold": 3}
        return shell(name, script, livenessProbe=probe, volumeMounts=mount)

    async def scenario(session: Session) -> None:
        answers = {"well": grpc_answer(1), "ill": grpc_answer(2)}
        coded = {name: b64encode(it).decode() for name, it in answers.items()}
        document = {"metadata": {"name": "answers"}, "binaryData": coded}
        await session.client.create(CONFIGMAP, document, namespace="default")
        volumes = [{"name": "answers", "configMap": {"name": "answers"}}]
        containers = [serving("well", 8081), serving("ill", 8082)]
        await several(session, "grpc", *containers, volumes=volumes, restartPolicy="Always")

        def count(pod: Pod, name: str) -> int:
            return sum(it.restart_count for it in pod.status.container_statuses if it.name == name)

        pod = await session.until("grpc", lambda it: count(it, "ill") >= 1)
        assert count(pod, "well") == 0
        await session.delete("grpc", grace=0)

    cluster.run(scenario)


def test_a_container_is_not_ready_before_its_probe_may_begin(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["busybox", "true"]}, "initialDelaySeconds": 2, "periodSeconds": 1}

    async def scenario(session: Session) -> None:
        await several(session, "late", shell("app", SLEEP, readinessProbe=probe))
        pod = await session.until("late", lambda it: is_true(it.status.conditions, "Ready"))
        (status,) = pod.status.container_statuses
        (ready,) = [it for it in pod.status.conditions if it.type == "Ready"]
        assert status.state.running is not None and ready.last_transition_time is not None
        started = status.state.running.started_at
        assert started is not None
        assert (ready.last_transition_time - started).total_seconds() >= 1  # both are whole seconds
        assert status.restart_count == 0
        await session.delete("late")

    cluster.run(scenario)


def test_sysctls_are_set_in_the_pod_and_unsafe_ones_only_where_allowed(cluster: Cluster) -> None:
    def sysctls(**values: str) -> dict[str, Any]:
        named = [{"name": name.replace("__", "."), "value": it} for name, it in values.items()]
        return {"securityContext": {"sysctls": named}}

    async def scenario(session: Session) -> None:
        before = Path("/proc/sys/kernel/msgmni").read_text()
        script = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/kernel/msgmni"
        given = sysctls(kernel__shm_rmid_forced="1", kernel__msgmni="123")
        await several(session, "tuned", shell("app", script), **given)
        pod = await session.until("tuned", ended)
        assert cluster.log(pod) == "1\n123\n"
        assert Path("/proc/sys/kernel/msgmni").read_text() == before
        await several(session, "unsafe", shell("app", SLEEP), **sysctls(kernel__msgmax="10000"))
        pod = await session.until("unsafe", ended)
        assert (pod.status.phase, pod.status.reason) == ("Failed", "SysctlForbidden")
        text = 'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted'
        assert pod.status.message == text
        with pytest.raises(Invalid, match=r"foo-.*must have at most 253 characters"):
            await several(session, "wrong", shell("app", SLEEP), **sysctls(**{"foo-": "bar"}))
        for name in ("tuned", "unsafe"):
            await session.delete(name)

    cluster.run(scenario)


def test_containers_of_a_pod_share_processes_where_it_says_so(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        first = shell("app", "exec sleep 1000")
        find = "grep -l '^sleep' /proc/[0-9]*/comm"
        script = f'while test -z "$({find})"; do :; done; cat /proc/1/comm'
        second = shell("other", script)
        await several(session, "shared", first, second, shareProcessNamespace=True)

        def seen(pod: Pod) -> bool:
            return any(
                it.name == "other" and it.state.terminated for it in pod.status.container_statuses
            )

        pod = await session.until("shared", seen)
        assert cluster.log(pod, "other").endswith("steer-init\n")
        await session.delete("shared", grace=1)

    cluster.run(scenario)


def test_a_variable_comes_from_a_file_that_an_init_container_wrote(cluster: Cluster) -> None:
    mount = [{"name": "d", "mountPath": "/d"}]
    source = {"fileKeyRef": {"volumeName": "d", "path": "vars.env", "key": "KEY"}}

    async def scenario(session: Session) -> None:
        await several(
            session, "files",
            shell("app", "echo $GOT", env=[{"name": "GOT", "valueFrom": source}]),
            initContainers=[shell("write", "echo \"KEY='from a file'\" > /d/vars.env",
                                  volumeMounts=mount)],
            volumes=[{"name": "d", "emptyDir": {}}],
        )  # fmt: skip
        pod = await session.until("files", ended)
        assert cluster.log(pod) == "from a file\n"
        await session.delete("files")

    cluster.run(scenario)
