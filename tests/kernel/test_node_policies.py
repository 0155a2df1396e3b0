"""Restart rules, full host names and runtime classes of pods on a real node."""

from __future__ import annotations

import json
from typing import Any

from node_cluster import SLEEP, Cluster, Session, hears, needs_root, runs

from steersman.model.kinds.runtimeclass import RUNTIMECLASS

pytestmark = needs_root


def test_a_rule_restarts_a_container_whose_pod_never_does(cluster: Cluster) -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = {"restartPolicy": "Never", "volumes": [{"name": "d", "emptyDir": {}}]}
    mount = [{"name": "d", "mountPath": "/d"}]
    script = "test -e /d/once && exit 3; touch /d/once; exit 42"

    async def scenario(session: Session) -> None:
        await session.create(
            "rules",
            script=script,
            spec=spec,
            volumeMounts=mount,
            restartPolicy="Never",
            restartPolicyRules=rules,
        )
        pod = await session.until("rules", lambda it: it.status.phase == "Failed")
        (app,) = pod.status.container_statuses
        assert app.restart_count == 1
        ended = [app.state.terminated, app.last_state.terminated]
        assert [it.exit_code for it in ended if it is not None] == [3, 42]
        await session.delete("rules")

    cluster.run(scenario)


def test_a_pod_may_be_told_its_full_name(cluster: Cluster) -> None:
    spec = {"setHostnameAsFQDN": True, "subdomain": "sub"}

    async def scenario(session: Session) -> None:
        script = f"cat /proc/sys/kernel/hostname; {SLEEP}"
        await session.create("named", script=script, spec=spec)
        pod = await session.until("named", runs)
        while not (text := cluster.log(pod)):
            continue
        assert text == "named.sub.default.svc.cluster.local\n"
        await session.delete("named")

    cluster.run(scenario)


def test_a_runtime_class_is_known_or_refused_in_plain_sight(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        for name, handler in (("known", "runc"), ("unknown", "kata")):
            document = {"metadata": {"name": name}, "handler": handler}
            await session.client.create(RUNTIMECLASS, document)
        await session.create("classed", script=SLEEP, spec={"runtimeClassName": "known"})
        await session.until("classed", runs)
        await session.delete("classed")
        pod = await session.create("other", script=SLEEP, spec={"runtimeClassName": "unknown"})
        why = 'failed to get sandbox runtime: no runtime for "kata" is configured'
        assert await hears(session, pod, "FailedCreatePodSandBox") == (
            f"Failed to create pod sandbox: rpc error: code = Unknown desc = {why}"
        )
        await session.delete("other")

    cluster.run(scenario)


def test_a_local_seccomp_profile_is_kept_and_a_missing_one_is_told(cluster: Cluster) -> None:
    folder = cluster.data / "node" / "seccomp"
    folder.mkdir()
    denied = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}
    (folder / "quiet.json").write_text(json.dumps(profile))

    def local(name: str) -> dict[str, Any]:
        return {"seccompProfile": {"type": "Localhost", "localhostProfile": name}}

    async def scenario(session: Session) -> None:
        script = f"busybox mkdir /x; {SLEEP}"
        await session.create("quiet", script=script, securityContext=local("quiet.json"))
        pod = await session.until("quiet", runs)
        while not (text := cluster.log(pod)):
            continue
        assert "Operation not permitted" in text
        await session.delete("quiet")
        pod = await session.create("none", script=SLEEP, securityContext=local("none.json"))
        path = folder / "none.json"
        text = f'cannot load seccomp profile "{path}": open {path}: no such file or directory'
        told = f"Error: failed to create containerd container: {text}"
        assert await hears(session, pod, "Failed") == told
        await session.delete("none")

    cluster.run(scenario)
