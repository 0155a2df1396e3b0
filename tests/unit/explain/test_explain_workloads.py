"""What is said of workloads, services, claims, namespaces and names that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from explained import RUNS, cause, event, node, owned, pod, thing, waiting, why
from steersman.explain.cause import MOST_LINES, Cause, alike, render, to_document
from steersman.explain.question import kind_of

PULL = waiting("ImagePullBackOff")
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def deployment(updated: int = 0, available: int = 0, total: int | None = None, **spec: Any) -> Any:
    counts = {"updatedReplicas": updated, "availableReplicas": available}
    counts["replicas"] = updated if total is None else total
    return thing("deployment", "web", spec={"replicas": 2, **spec}, status=counts)


def replicas(of: Any, name: str = "web-1", ready: int = 0, revision: str = "1") -> Any:
    notes = {"deployment.kubernetes.io/revision": revision}
    status = {"readyReplicas": ready}
    meta = {"annotations": notes}
    return owned(of, thing("rs", name, meta=meta, spec={"replicas": 2}, status=status))


def test_a_deployment_is_followed_to_its_newest_replicas_and_their_pods() -> None:
    web = deployment(2, 1)
    old, new = replicas(web, "web-9", ready=2, revision="9"), replicas(web, "web-10", 1, "10")
    pods = [
        owned(new, pod("a", on="n", status=RUNS)),
        owned(new, pod("b", on="n", status=PULL)),
        owned(new, pod("c", on="n", status=PULL)),
    ]
    assert why("deploy/web", node("n"), web, old, new, *pods) == (
        "deployment.apps/web: has not rolled out yet\n"
        "  2 of 2 are of its template, 1 are available\n"
        "  replicaset.apps/web-10: has 1 of 2 replicas ready\n"
        "    pod/b: is Pending, and does not run yet\n"
        "      the same holds for pod/c\n"
        "      container main: is waiting (ImagePullBackOff): its image cannot be had, and is "
        "tried again after a while\n"
        "        image web:1\n"
        "        -> check the image's name and tag, and that its registry can be reached"
    )


def test_a_deployment_that_is_well_paused_given_up_or_not_looked_at_says_so() -> None:
    assert cause("deploy/web", deployment(2, 2)).sound
    assert not cause("deploy/web", deployment(2, 2, total=3)).sound
    assert why("deploy/web", deployment(1, 1, paused=True)) == (
        "deployment.apps/web: is paused with 1 of 2 replicas of its template\n"
        "  -> kubectl rollout resume deployment/web"
    )
    late = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    given_up = deployment(1, 1)
    given_up["status"]["conditions"] = [late]
    assert "it is given up: timed out" in why("deploy/web", given_up)
    stale = deployment(2, 2)
    stale["metadata"]["generation"] = 2
    assert "has not been looked at" in why("deploy/web", stale)


@pytest.mark.parametrize(
    ("message", "help"),
    [
        ('pods "x" is forbidden: exceeded quota: q, requested: pods=1', "raise the quota"),
        ("failed quota: q: must specify limits.cpu", "give each container the requests"),
        ("maximum cpu usage per Container is 1", "ask for less, or change the LimitRange"),
        ('admission webhook "w" denied the request: no', "see what the webhook"),
        ('Internal error: failed calling webhook "w"', "mend the webhook"),
        ('violates PodSecurity "restricted"', "have the pod keep the namespace's level"),
        ('error looking up service account d/x: serviceaccount "x" not found', "create the Serv"),
    ],
)
def test_pods_that_are_refused_are_told_with_what_would_help(message: str, help: str) -> None:
    found = replicas(deployment())
    text = why("rs/web-1", found, event(found, "FailedCreate", message))
    assert f"  the API server: refuses them: {message}\n    -> {help}" in text
    assert "cannot make its pods: there are 0 of 2" in text


def test_the_condition_of_replicas_says_it_better_than_an_old_event() -> None:
    found = replicas(deployment())
    told = {"type": "ReplicaFailure", "status": "True", "message": "the new reason"}
    found["status"]["conditions"] = [told]
    assert "the new reason" in why("rs/web-1", found, event(found, "FailedCreate", "old"))
    found["status"]["conditions"] = [{**told, "status": "False"}]
    assert "the new reason" not in why("rs/web-1", found)


def test_replicas_that_are_all_ready_are_sound() -> None:
    found = replicas(deployment(), ready=2)
    pods = [owned(found, pod(name, on="n", status=RUNS)) for name in "ab"]
    assert cause("rs/web-1", node("n"), found, *pods).sound


def test_causes_that_are_alike_are_told_once() -> None:
    causes = [Cause(f"pod/{name}", "is ill", ("so",)) for name in "abc"]
    other = Cause("pod/d", "is ill", ("otherwise",))
    deeper = Cause("pod/e", "is ill", ("so",), causes=(other,))
    assert [it.details for it in alike([*causes, other, deeper])] == [
        ("so", "the same holds for pod/b, pod/c"),
        ("otherwise",),
        ("so",),
    ]


def test_a_stateful_set_tells_order_revision_and_service() -> None:
    status = {"readyReplicas": 1, "updatedReplicas": 1}
    status |= {"currentRevision": "a", "updateRevision": "b"}  # type: ignore[dict-item]
    spec = {"replicas": 2, "serviceName": "db"}
    database = thing("sts", "db", spec=spec, status=status)
    ill = owned(database, pod("db-1", on="n", status=PULL))
    text = why("sts/db", node("n"), database, ill)
    assert text.splitlines()[:6] == [
        "statefulset.apps/db: has not all of its pods",
        "  1 of 2 are ready",
        "  1 are of its template",
        "  its pods come one after another: one that is not ready holds up the rest",
        "  its Service db does not exist: its pods have no names in DNS",
        "  pod/db-1: is Pending, and does not run yet",
    ]
    well = {**database, "status": {"readyReplicas": 2}}
    assert cause("sts/db", well).sound


def test_a_daemon_set_without_nodes_says_what_it_asks_for() -> None:
    spec = {"template": {"spec": {"nodeSelector": {"gpu": "yes"}}}}
    none = thing("ds", "d", spec=spec, status={"desiredNumberScheduled": 0})
    assert "it asks for nodes with {'gpu': 'yes'}" in why("ds/d", none)
    counts = {"desiredNumberScheduled": 2, "numberAvailable": 2, "updatedNumberScheduled": 2}
    assert cause("ds/d", thing("ds", "d", spec=spec, status=counts)).sound
    short = thing("ds", "d", spec=spec, status={**counts, "numberAvailable": 1})
    ill = owned(short, pod("d-1", on="n", status=PULL))
    text = why("ds/d", node("n"), short, ill)
    assert text.startswith("daemonset.apps/d: is available on 1 of 2 nodes\n  pod/d-1: ")


def test_a_job_says_how_far_it_is_and_why_it_ended() -> None:
    status = {"succeeded": 1, "active": 1, "failed": 2}
    job = thing("job", "j", spec={"completions": 3}, status=status)
    assert why("job/j", job).splitlines()[1] == (
        "  1 of 3 completions, 1 pods run, 2 failed of at most 6 that may"
    )
    assert "is suspended" in why("job/j", thing("job", "j", spec={"suspend": True}, status={}))
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}
    ended = thing("job", "j", spec={}, status={"conditions": [failed]})
    assert "has failed (BackoffLimitExceeded): m" in why("job/j", ended)
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    assert cause("job/j", thing("job", "j", spec={"suspend": True}, status=done)).sound


def test_a_job_whose_pods_are_refused_says_why() -> None:
    job = thing("job", "j", spec={}, status={})
    assert "exceeded quota" in why("job/j", job, event(job, "FailedCreate", "exceeded quota"))


def test_a_cron_job_says_whether_it_may_start() -> None:
    spec = {"schedule": "* * * * *", "concurrencyPolicy": "Forbid"}
    assert "is suspended" in why("cj/c", thing("cj", "c", spec={**spec, "suspend": True}))
    running = thing("cj", "c", spec=spec, status={"active": [{"name": "c-1"}]})
    job = owned(running, thing("job", "c-1", spec={}, status={}))
    text = why("cj/c", running, job)
    assert text.startswith("cronjob.batch/c: starts nothing before c-1 has ended\n  job.batch/c-1")
    well = thing("cj", "c", spec={**spec, "timeZone": "Europe/Athens"}, status={})
    found = cause("cj/c", well)
    assert (found.finding, found.sound) == (
        "runs at '* * * * *' (Europe/Athens), last at no time yet",
        True,
    )
    missed = event(well, "TooManyMissedTimes", "too many missed start times")
    assert not cause("cj/c", well, missed).sound
    recovered = event(well, "SuccessfulCreate", "Created job c-2", at=1, type="Normal")
    assert cause("cj/c", well, missed, recovered).sound


def service(selector: Any, **spec: Any) -> Any:
    ports = spec.pop("ports", [{"port": 80}])
    return thing("svc", "web", spec={"selector": selector, "ports": ports, **spec})


def labelled(name: str, labels: Any, **rest: Any) -> Any:
    return pod(name, meta={"labels": labels}, **rest)


def test_a_service_that_selects_nobody_is_told_who_comes_near() -> None:
    pods = labelled("a", {"app": "wep"}), labelled("b", {"app": "web"}), labelled("c", {"x": "y"})
    assert why("svc/web", service({"app": "web", "tier": "front"}), *pods) == (
        "service/web: selects no pod: none has app=web,tier=front\n"
        "  pod/a has app=wep, no tier\n"
        "  pod/b has no tier\n"
        "  -> mend spec.selector, or the labels of the pods' template"
    )


def test_a_service_whose_pods_are_not_ready_is_told_why() -> None:
    ill = labelled("a", {"app": "web"}, on="n", status=PULL)
    text = why("svc/web", node("n"), service({"app": "web"}), ill)
    assert text.startswith("service/web: has no endpoint: none of its 1 pods is ready\n  pod/a: ")
    early = service({"app": "web"}, publishNotReadyAddresses=True)
    assert cause("svc/web", node("n"), early, ill).sound


def test_a_service_that_names_a_port_nobody_has_is_told_so() -> None:
    main = [{"name": "main", "ports": [{"name": "http", "containerPort": 80}]}]
    well = labelled("a", {"app": "web"}, on="n", status=RUNS, containers=main)
    found = service({"app": "web"}, ports=[{"port": 80, "targetPort": "web"}])
    assert "port 80 leads to the port named web" in why("svc/web", node("n"), found, well)
    right = service({"app": "web"}, ports=[{"port": 80, "targetPort": "http"}])
    assert cause("svc/web", node("n"), right, well).sound
    numbered = service({"app": "web"}, ports=[{"port": 80, "targetPort": 8080}])
    assert cause("svc/web", node("n"), numbered, well).sound


def test_services_without_selector_external_ones_and_load_balancers() -> None:
    assert cause("svc/web", service({})).sound
    external = service(None, type="ExternalName", externalName="example.com")
    assert cause("svc/web", external).finding == "is another name of example.com"
    well = labelled("a", {"app": "web"}, on="n", status=RUNS)
    balanced = service({"app": "web"}, type="LoadBalancer")
    assert "no address of a load balancer yet" in why("svc/web", node("n"), balanced, well)
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}
    assert cause("svc/web", node("n"), balanced, well).sound


ASKS = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}


def claim(**spec: Any) -> Any:
    return thing("pvc", "c", spec={**ASKS, **spec}, status=spec.pop("status", {}))


def storage_class(name: str = "fast", provisioner: str = "x/y", **rest: Any) -> Any:
    return thing("sc", name, provisioner=provisioner, **rest)


def volume(name: str = "v", size: str = "2Gi", mode: str = "ReadWriteOnce", **spec: Any) -> Any:
    found = {"capacity": {"storage": size}, "accessModes": [mode], **spec}
    return thing("pv", name, spec=found)


def test_a_claim_whose_class_is_not_there_names_those_that_are() -> None:
    text = why("pvc/c", claim(storageClassName="slow"), storage_class())
    assert text.splitlines()[:2] == [
        "persistentvolumeclaim/c: names the storage class 'slow', which does not exist",
        "  there are: fast",
    ]
    assert "there is no default one" in why("pvc/c", claim(), storage_class())


def test_a_claim_waits_for_its_first_pod_or_its_provisioner() -> None:
    late = storage_class(volumeBindingMode="WaitForFirstConsumer")
    waits = claim(storageClassName="fast")
    assert "waits for a pod that uses it" in why("pvc/c", waits, late)
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    told = event(waits, "ProvisioningFailed", "no room")
    assert why("pvc/c", waits, late, pod(volumes=volumes), told) == (
        "persistentvolumeclaim/c: has no volume yet from x/y, the provisioner of its class fast\n"
        "  ProvisioningFailed: no room\n"
        "  it is used by p\n"
        "  -> see whether x/y runs and what it logs"
    )
    assert "has no volume yet from x/y" in why("pvc/c", waits, storage_class())


def test_volumes_that_will_not_do_are_told_with_why() -> None:
    manual = claim(storageClassName="")
    held = volume("held", claimRef={"namespace": "n", "name": "o"})
    volumes = [
        held,
        volume("large", "1Gi"),
        volume("mode", mode="ReadOnlyMany"),
        volume("of", storageClassName="fast"),
    ]
    assert why("pvc/c", manual, *volumes).splitlines()[1:5] == [
        "  held: the claim n/o has it",
        "  large: it holds 1Gi, 2Gi are asked for",
        "  mode: it does not offer ReadWriteOnce",
        "  of: its class is 'fast'",
    ]
    by_nobody = storage_class("manual", "kubernetes.io/no-provisioner")
    text = why("pvc/c", claim(storageClassName="manual"), by_nobody)
    assert text.splitlines()[1] == "  there are no volumes"


def test_a_claim_that_names_its_volume() -> None:
    named = claim(volumeName="v")
    assert "names the volume v, which does not exist" in why("pvc/c", named)
    other = volume(claimRef={"namespace": "default", "name": "other"})
    assert "which the claim default/other has" in why("pvc/c", named, other)
    own = volume(claimRef={"namespace": "default", "name": "c"})
    assert "waits to be bound to v" in why("pvc/c", named, own)
    bound = thing("pvc", "c", spec={"volumeName": "v"}, status={"phase": "Bound"})
    assert cause("pvc/c", bound).sound
    lost = thing("pvc", "c", spec={"volumeName": "v"}, status={"phase": "Lost"})
    assert "has lost its volume v" in why("pvc/c", lost)


def test_a_namespace_that_does_not_go_says_what_holds_it() -> None:
    told = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content"}
    quiet = {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All"}
    meta = {"meta": DELETED}
    going = thing("ns", "old", status={"conditions": [told, quiet]}, **meta)
    held = thing("configmap", "c", namespace="old", meta={"finalizers": ["x/y"]})
    free = thing("configmap", "d", namespace="old")
    assert why("ns/old", going, held, free) == (
        "namespace/old: is being deleted since 2026-01-01T00:00:00Z\n"
        "  Some content\n"
        "  configmap/c: has the finalizers x/y"
    )


def test_what_is_being_deleted_in_the_foreground_names_what_it_waits_for() -> None:
    meta = {**DELETED, "finalizers": ["foregroundDeletion"]}
    web = {**deployment(2, 2)}
    web["metadata"] = {**web["metadata"], **meta}
    assert why("deploy/web", web, replicas(web)).splitlines()[1:] == [
        "  finalizer foregroundDeletion: waits until what it owns is gone",
        "    replicaset.apps/web-1 is still there",
    ]


def test_a_claim_that_is_in_use_names_its_pods() -> None:
    meta = {**DELETED, "finalizers": ["kubernetes.io/pvc-protection"]}
    held = thing("pvc", "c", meta=meta, spec=ASKS, status={"phase": "Bound"})
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    assert "    pod/p uses it" in why("pvc/c", held, pod(volumes=volumes))
    own = thing("pvc", "p-v", meta=meta, spec=ASKS, status={"phase": "Bound"})
    assert "    pod/p uses it" in why("pvc/p-v", own, pod(volumes=[{"name": "v", "ephemeral": {}}]))


def test_nodes_say_whether_they_take_pods() -> None:
    assert cause("node/a", node("a")).sound
    assert "is not ready" in why("node/a", node("a", ready="False"))
    assert "kubectl uncordon a" in why("node/a", node("a", unschedulable=True))
    tainted = cause("node/a", node("a", taints=[{"key": "k", "effect": "NoSchedule"}]))
    assert (tainted.sound, tainted.finding) == (
        True,
        "is ready, for pods that tolerate k=:NoSchedule",
    )
    short = node("a")
    short["status"]["conditions"] += [
        {"type": "DiskPressure", "status": "True", "message": "few inodes"},
        {"type": "MemoryPressure", "status": "False"},
    ]
    assert why("node/a", short) == "node/a: is short: DiskPressure\n  DiskPressure: few inodes"


def test_a_name_that_is_not_there_is_told_what_is_like_it() -> None:
    there = thing("configmap", "settings"), thing("configmap", "setings", namespace="other")
    assert why("cm/setings", *there) == (
        "configmap/setings: does not exist in the namespace default\n"
        "  the namespace other has one of this name\n"
        "  there is configmap/settings"
    )
    assert why("ns/x") == "namespace/x: does not exist"
    assert cause("cm/settings", *there).sound


@pytest.mark.parametrize(
    ("word", "plural"),
    [
        ("po", "pods"),
        ("Pod", "pods"),
        ("deployments.apps", "deployments"),
        ("deploy", "deployments"),
        ("deployments.batch", None),
        ("event.events.k8s.io", None),
        ("review", None),
    ],
)
def test_kinds_are_named_as_kubectl_names_them(word: str, plural: str | None) -> None:
    found = kind_of(word)
    if word.startswith("event"):
        assert found is not None
        assert found.group == "events.k8s.io"
    else:
        assert (found.plural if found else None) == plural


def test_a_chain_is_a_document_too() -> None:
    chain = Cause("pod/a", "is ill", ("d",), ("h",), (Cause("node/b", "is well", sound=True),))
    assert to_document(chain) == {
        "about": "pod/a",
        "finding": "is ill",
        "sound": False,
        "details": ["d"],
        "helps": ["h"],
        "causes": [{"about": "node/b", "finding": "is well", "sound": True}],
    }
    assert render(chain) == "pod/a: is ill\n  d\n  -> h\n  node/b: is well"
    assert MOST_LINES == 8
