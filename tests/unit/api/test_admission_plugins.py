"""The smaller admission plugins, each turned on alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from authorities import certificate
from served import (
    MAPS,
    MERGE,
    NAMESPACES,
    PODS,
    SERVICES,
    Answer,
    Served,
    config_map,
    prepare,
    service,
    serving,
)
from served import pod as plain_pod
from steersman.api.admission.chain import Change
from steersman.api.admission.plugins import tolerations
from steersman.api.admission.plugins.event_rate import Limit
from steersman.api.admission.plugins.images import AlwaysPullImages
from steersman.api.admission.plugins.namespaces import parse_labels
from steersman.api.admission.plugins.registry import AdmissionSettings, enabled
from steersman.model.errors import Forbidden
from steersman.model.kind import Document
from steersman.store.memory import MemoryStore
from steersman.wire.message import User
from steersman.world.simulated import SimulatedWorld, simulate

RBAC = "/apis/rbac.authorization.k8s.io/v1"
NETWORKING = "/apis/networking.k8s.io/v1"
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
NODES = "/api/v1/nodes"
JANE = User("jane", ("system:authenticated",))
Test = Callable[[Served], Coroutine[Any, Any, None]]


def case(test: Test, *on: str, off: tuple[str, ...] = (), **settings: Any) -> None:
    async def main(world: SimulatedWorld) -> None:
        admission = AdmissionSettings(enabled(on, off), **settings)
        async with serving(world, admission=admission) as api:
            if "ServiceAccount" not in off and "AlwaysDeny" not in on:
                await prepare(api)
            await test(api)

    simulate(1, main)


def pod(name: str = "p", **spec: Any) -> Document:
    return plain_pod(name, **spec)


def container(name: str = "main", image: str = "busybox", **more: Any) -> Document:
    return {"name": name, "image": image, **more}


async def may(api: Served, user: str, *rules: Document) -> None:
    """Has somebody be allowed something."""
    role = {"metadata": {"name": user}, "rules": list(rules)}
    (await api.post(f"{RBAC}/clusterroles", role)).ok()
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    (await api.post(f"{RBAC}/clusterrolebindings", binding)).ok()


def refusal(answer: Answer, code: int = 403) -> str:
    assert answer.code == code, answer.document
    return answer.message


def test_how_long_pods_stay_on_a_node_that_is_away_is_a_setting() -> None:
    async def test(api: Served) -> None:
        made = (await api.post(PODS, pod())).ok()["spec"]["tolerations"]
        assert [(one["key"], one["tolerationSeconds"]) for one in made] == [
            ("node.kubernetes.io/not-ready", 0),
            ("node.kubernetes.io/unreachable", 9),
        ]

    case(test, not_ready_seconds=0, unreachable_seconds=9)


def test_all_images_are_pulled_where_so_wanted() -> None:
    async def test(api: Served) -> None:
        given = pod(
            containers=[container(imagePullPolicy="Never")],
            initContainers=[container("first", imagePullPolicy="IfNotPresent")],
            volumes=[{"name": "v", "image": {"reference": "busybox", "pullPolicy": "Never"}}],
        )
        made = (await api.post(PODS, given)).ok()["spec"]
        assert made["containers"][0]["imagePullPolicy"] == "Always"
        assert made["initContainers"][0]["imagePullPolicy"] == "Always"
        assert made["volumes"][0]["image"]["pullPolicy"] == "Always"

    case(test, "AlwaysPullImages")


def test_what_a_webhook_makes_of_the_policy_of_an_image_is_refused() -> None:
    call: Any = SimpleNamespace(
        kind=SimpleNamespace(name="Pod", group="", plural="pods"),
        table=SimpleNamespace(resource=SimpleNamespace(group="")),
        name="p",
        subresource="",
    )

    def why(**spec: Any) -> str:
        with pytest.raises(Forbidden) as raised:
            AlwaysPullImages().check(Change(call, "CREATE", pod(**spec), None))
        return raised.value.message

    wrong = 'imagePullPolicy: Unsupported value: "Never": supported values: "Always"'
    never = [container(imagePullPolicy="Never")]
    always = [container(imagePullPolicy="Always")]
    AlwaysPullImages().check(Change(call, "CREATE", pod(containers=always), None))
    assert why(containers=never) == f'pods "p" is forbidden: spec.containers[0].{wrong}'
    assert why(containers=never, initContainers=never) == (
        f'pods "p" is forbidden: [spec.initContainers[0].{wrong}, spec.containers[0].{wrong}]'
    )


def test_an_update_without_a_new_image_is_left_alone() -> None:
    async def test(api: Served) -> None:
        labels = {"metadata": {"labels": {"a": "b"}}}
        (await api.patch(f"{PODS}/old", labels)).ok()
        image = {"spec": {"containers": [container(image="other")]}}
        refused = await api.patch(f"{PODS}/old", image, "application/strategic-merge-patch+json")
        # the policy of a pod that is there cannot be changed, not even by the plugin
        assert refused.code == 422
        assert "spec: Forbidden: pod updates may not change fields" in refused.message

    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            await prepare(api)
            (await api.post(PODS, pod("old", containers=[container(imagePullPolicy="Never")]))).ok()
        on = AdmissionSettings(enabled(["AlwaysPullImages"]))
        async with serving(world, store, admission=on) as api:
            await test(api)

    simulate(1, main)


def test_devices_bring_their_tolerations() -> None:
    async def test(api: Served) -> None:
        asked = {
            "requests": {"example.com/gpu": "1", "cpu": "1"},
            "limits": {"example.com/gpu": "1"},
        }
        other = {"requests": {"example.com/a": "2"}, "limits": {"example.com/a": "2"}}
        own = {"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        given = pod(
            containers=[container(resources=asked)],
            initContainers=[container("first", resources=other)],
            tolerations=[own],
        )
        made = (await api.post(PODS, given)).ok()["spec"]["tolerations"]
        devices = [one for one in made if one["key"].startswith("example.com")]
        assert devices == [own, {**own, "key": "example.com/a"}]
        plain = (await api.post(PODS, pod("plain"))).ok()["spec"]["tolerations"]
        assert all(one["key"].startswith("node.kubernetes.io") for one in plain)

    case(test, "ExtendedResourceToleration")


def test_hard_anti_affinity_is_about_the_host_alone() -> None:
    def apart(key: str) -> Document:
        term = {"topologyKey": key, "labelSelector": {"matchLabels": {"a": "b"}}}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        return {"podAntiAffinity": required}

    async def test(api: Served) -> None:
        refused = await api.post(PODS, pod(affinity=apart("zone")))
        assert refusal(refused) == (
            'pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has '
            "TopologyKey zone but only key kubernetes.io/hostname is allowed"
        )
        (await api.post(PODS, pod(affinity=apart("kubernetes.io/hostname")))).ok()

    case(test, "LimitPodHardAntiAffinityTopology")


def test_pods_know_where_their_node_is() -> None:
    async def test(api: Served) -> None:
        zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
        labels = {zone: "z1", region: "r1", "other": "x"}
        (await api.post(NODES, {"metadata": {"name": "n", "labels": labels}})).ok()
        made = (await api.post(PODS, pod("placed", nodeName="n"))).ok()
        assert made["metadata"]["labels"] == {zone: "z1", region: "r1"}
        own = pod("own", nodeName="n")
        own["metadata"]["labels"] = {zone: "mine"}
        made = (await api.post(PODS, own)).ok()
        assert made["metadata"]["labels"] == {zone: "mine", region: "r1"}
        made = (await api.post(PODS, pod("bound"))).ok()
        assert "labels" not in made["metadata"]
        binding = {"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "n"}}
        (await api.post(f"{PODS}/bound/binding", binding)).ok()
        bound = (await api.get(f"{PODS}/bound")).ok()
        assert bound["metadata"]["labels"] == {zone: "z1", region: "r1"}
        made = (await api.post(PODS, pod("lost", nodeName="nowhere"))).ok()
        assert "labels" not in made["metadata"]

    case(test)


def runtime(**more: Any) -> Document:
    return {"metadata": {"name": "heavy"}, "handler": "heavy", **more}


def test_a_runtime_class_says_what_it_costs_and_where_it_runs() -> None:
    async def test(api: Served) -> None:
        toleration = {"key": "vm", "operator": "Exists", "effect": "NoSchedule"}
        scheduling = {"nodeSelector": {"vm": "yes"}, "tolerations": [toleration]}
        made = runtime(overhead={"podFixed": {"cpu": "250m"}}, scheduling=scheduling)
        (await api.post(CLASSES, made)).ok()
        given = pod(runtimeClassName="heavy", nodeSelector={"disk": "fast"})
        spec = (await api.post(PODS, given)).ok()["spec"]
        assert spec["overhead"] == {"cpu": "250m"}
        assert spec["nodeSelector"] == {"disk": "fast", "vm": "yes"}
        assert toleration in spec["tolerations"]
        same = pod("same", runtimeClassName="heavy", overhead={"cpu": "0.25"})
        (await api.post(PODS, same)).ok()
        other = pod("other", runtimeClassName="heavy", overhead={"cpu": "1"})
        assert refusal(await api.post(PODS, other)) == (
            "pods \"other\" is forbidden: pod rejected: Pod's Overhead doesn't match "
            "RuntimeClass's defined Overhead"
        )
        elsewhere = pod("else", runtimeClassName="heavy", nodeSelector={"vm": "no"})
        assert refusal(await api.post(PODS, elsewhere)) == (
            'pods "else" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; '
            "pod.spec.nodeSelector[vm] = no"
        )
        unknown = pod("unknown", runtimeClassName="light")
        assert refusal(await api.post(PODS, unknown)) == (
            'pods "unknown" is forbidden: pod rejected: RuntimeClass "light" not found'
        )
        alone = pod("alone", overhead={"cpu": "1"})
        assert refusal(await api.post(PODS, alone)) == (
            'pods "alone" is forbidden: pod rejected: Pod Overhead set without corresponding '
            "RuntimeClass defined Overhead"
        )

    case(test)


def test_a_class_that_says_nothing_changes_nothing() -> None:
    async def test(api: Served) -> None:
        (await api.post(CLASSES, runtime())).ok()
        spec = (await api.post(PODS, pod(runtimeClassName="heavy"))).ok()["spec"]
        assert "overhead" not in spec
        assert "nodeSelector" not in spec

    case(test)


def test_a_pod_does_not_grow_beyond_its_node() -> None:
    async def test(api: Served) -> None:
        labels = {"kubernetes.io/os": "linux"}
        (await api.post(NODES, {"metadata": {"name": "n", "labels": labels}})).ok()
        allocatable = {"cpu": "2", "memory": "1Gi"}
        status = {"status": {"allocatable": allocatable, "capacity": allocatable}}
        (await api.patch(f"{NODES}/n/status", status)).ok()
        small = {"requests": {"cpu": "1", "memory": "1Mi"}}
        (await api.post(PODS, pod(nodeName="n", containers=[container(resources=small)]))).ok()

        async def resize(**requests: str) -> Answer:
            resources = {"requests": requests}
            body = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
            how = "application/strategic-merge-patch+json"
            return await api.patch(f"{PODS}/p/resize", body, how)

        (await resize(cpu="2")).ok()
        assert refusal(await resize(cpu="2001m", memory="2Gi")) == (
            'pods "p" is forbidden: Node didn\'t have enough allocatable resources: cpu, '
            "requested: 2001, allocatable: 2000; memory, requested: 2147483648, allocatable: "
            "1073741824"
        )
        (
            await api.patch(f"{NODES}/n", {"metadata": {"labels": {"kubernetes.io/os": "plan9"}}})
        ).ok()
        assert refusal(await resize(cpu="1500m")) == (
            'pods "p" is forbidden: pod resize is only supported on linux nodes, node "n" is '
            '"plan9"'
        )
        (await api.delete(f"{NODES}/n")).ok()
        assert refusal(await resize(cpu="1500m")) == 'pods "p" is forbidden: node "n" not found'

    case(test)


def test_an_ingress_gets_the_newest_default_class() -> None:
    def ingress(name: str, **spec: Any) -> Document:
        backend = {"service": {"name": "s", "port": {"number": 80}}}
        return {"metadata": {"name": name}, "spec": {"defaultBackend": backend, **spec}}

    async def test(api: Served) -> None:
        where = f"{NETWORKING}/namespaces/default/ingresses"
        made = (await api.post(where, ingress("none"))).ok()
        assert "ingressClassName" not in made["spec"]
        default = {"ingressclass.kubernetes.io/is-default-class": "true"}
        for name, said in (("b", default), ("c", default), ("a", default), ("plain", {})):
            meta = {"name": name, "annotations": said}
            spec = {"controller": "example.com/c"}
            (await api.post(f"{NETWORKING}/ingressclasses", {"metadata": meta, "spec": spec})).ok()
            if name == "b":
                await asyncio.sleep(2)
        made = (await api.post(where, ingress("new"))).ok()
        assert made["spec"]["ingressClassName"] == "a"
        made = (await api.post(where, ingress("own", ingressClassName="b"))).ok()
        assert made["spec"]["ingressClassName"] == "b"
        old = ingress("old")
        old["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "nginx"}
        made = (await api.post(where, old)).ok()
        assert "ingressClassName" not in made["spec"]

    case(test)


def test_services_take_no_addresses_of_others() -> None:
    async def test(api: Served) -> None:
        refused = await api.post(SERVICES, service("s", externalIPs=["1.2.3.4"]))
        assert refusal(refused) == (
            'services "s" is forbidden: Use of external IPs is denied by admission control'
        )
        (await api.post(SERVICES, service("s"))).ok()
        more = {"spec": {"externalIPs": ["1.2.3.4"]}}
        assert (await api.patch(f"{SERVICES}/s", more)).code == 403

    case(test, "DenyServiceExternalIPs")


def test_nothing_but_the_servers_own_is_written_where_all_is_denied() -> None:
    async def test(api: Served) -> None:
        assert refusal(await api.post(MAPS, config_map("a"))) == (
            'configmaps "a" is forbidden: admission control is denying all modifications'
        )
        assert (await api.get(MAPS)).code == 200
        assert (await api.delete(f"{NAMESPACES}/kube-public")).code == 403
        assert (await api.patch(f"{NAMESPACES}/default", {"metadata": {"labels": {"a": "b"}}})
                ).code == 403  # fmt: skip

    case(test, "AlwaysDeny")


def test_a_namespace_is_made_when_something_comes_into_it() -> None:
    async def test(api: Served) -> None:
        where = "/api/v1/namespaces/fresh/configmaps"
        (await api.post(where, config_map("a"))).ok()
        assert (await api.get(f"{NAMESPACES}/fresh")).code == 200
        (await api.post(where, config_map("b"))).ok()
        refused = await api.post("/api/v1/namespaces/No_Name/configmaps", config_map("a"))
        assert refused.code == 403
        assert 'Namespace "No_Name" is invalid' in refused.message

    case(test, "NamespaceAutoProvision")


def test_nothing_is_written_in_a_namespace_that_is_not_there() -> None:
    async def test(api: Served) -> None:
        answer = await api.post("/api/v1/namespaces/none/configmaps", config_map("a"))
        assert refusal(answer, 404) == 'namespaces "none" not found'
        (await api.post(MAPS, config_map("a"))).ok()
        (await api.patch(f"{MAPS}/a", {"data": {"a": "b"}})).ok()

    case(test, "NamespaceExists", off=("NamespaceLifecycle",))


def test_a_plugin_that_is_off_is_not_asked() -> None:
    async def test(api: Served) -> None:
        (await api.post("/api/v1/namespaces/none/configmaps", config_map("a"))).ok()
        made = (await api.post(PODS, pod())).ok()["spec"]
        assert "tolerations" not in made
        assert "serviceAccountName" not in made
        assert "priority" not in made
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}}
        (await api.post("/api/v1/namespaces/default/resourcequotas", quota)).ok()
        (await api.post(MAPS, config_map("a"))).ok()

    off = ("NamespaceLifecycle", "ServiceAccount", "DefaultTolerationSeconds", "Priority",
           "ResourceQuota")  # fmt: skip
    case(test, off=off)


async def annotated(api: Served, **annotations: Any) -> None:
    prefix = "scheduler.alpha.kubernetes.io/"
    texts = {
        prefix + name.replace("_", "-"): text
        if isinstance(text, str)
        else orjson.dumps(text).decode()
        for name, text in annotations.items()
    }
    (await api.patch(f"{NAMESPACES}/default", {"metadata": {"annotations": texts}}, MERGE)).ok()


def test_pods_run_where_their_namespace_says() -> None:
    async def test(api: Served) -> None:
        made = (await api.post(PODS, pod("first"))).ok()["spec"]
        assert made["nodeSelector"] == {"pool": "all"}
        await annotated(api, node_selector="zone=a,pool=mine")
        made = (await api.post(PODS, pod("second", nodeSelector={"disk": "fast"}))).ok()["spec"]
        assert made["nodeSelector"] == {"zone": "a", "pool": "mine", "disk": "fast"}
        refused = await api.post(PODS, pod("third", nodeSelector={"zone": "b"}))
        assert refusal(refused) == (
            'pods "third" is forbidden: pod node label selector conflicts with its namespace node '
            "label selector"
        )
        await annotated(api, node_selector="")
        made = (await api.post(PODS, pod("fourth"))).ok()["spec"]
        assert "nodeSelector" not in made

    case(test, "PodNodeSelector", node_selectors={"clusterDefaultNodeSelector": "pool=all"})


def test_pods_ask_for_no_nodes_that_their_namespace_may_not_use() -> None:
    async def test(api: Served) -> None:
        refused = await api.post(PODS, pod(nodeSelector={"disk": "fast"}))
        assert refusal(refused) == (
            'pods "p" is forbidden: pod node label selector labels conflict with its namespace '
            "whitelist"
        )
        (await api.post(PODS, pod(nodeSelector={"zone": "a"}))).ok()

    case(test, "PodNodeSelector", node_selectors={"default": "zone=a,pool=mine"})


def test_a_selector_is_read_as_equalities_alone() -> None:
    assert parse_labels("a=b, c = d") == {"a": "b", "c": "d"}
    assert parse_labels("") == {}
    for text in ("a", "a==b", "a=b,c"):
        with pytest.raises(ValueError, match="invalid selector"):
            parse_labels(text)


def key(name: str, **more: Any) -> Document:
    return {"key": name, "operator": "Exists", "effect": "NoSchedule", **more}


def test_pods_tolerate_what_their_namespace_says() -> None:
    async def test(api: Served) -> None:
        def own(spec: Document) -> list[str]:
            return [one["key"] for one in spec.get("tolerations", ())
                    if not one["key"].startswith("node.k")]  # fmt: skip

        made = (await api.post(PODS, pod("first"))).ok()["spec"]
        assert own(made) == ["cluster"]
        await annotated(api, defaultTolerations=[key("mine")])
        made = (await api.post(PODS, pod("second", tolerations=[key("own")]))).ok()["spec"]
        assert own(made) == ["own", "mine"]
        asks = {"requests": {"cpu": "1"}}
        made = (await api.post(PODS, pod("third", containers=[container(resources=asks)]))).ok()
        assert key("node.kubernetes.io/memory-pressure") in made["spec"]["tolerations"]
        listed = [key("mine"), {"operator": "Exists", "effect": "NoExecute"}]
        await annotated(api, tolerationsWhitelist=listed)
        (await api.post(PODS, pod("fourth"))).ok()
        refused = await api.post(PODS, pod("fifth", tolerations=[key("other")]))
        assert refusal(refused, 500) == (
            "pod tolerations (possibly merged with namespace default tolerations) conflict with "
            "its namespace whitelist"
        )
        await annotated(api, defaultTolerations="[")
        assert (await api.post(PODS, pod("sixth"))).code == 500

    case(test, "PodTolerationRestriction", tolerations={"default": [key("cluster")]})


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        (key("a"), key("a"), True),
        ({"operator": "Exists"}, key("a"), True),
        ({"operator": "Exists", "effect": "NoExecute"}, key("a"), False),
        (key("a", effect=""), key("a"), True),
        (key("a"), key("b"), False),
        ({"key": "a", "operator": "Equal", "value": "x"}, {"key": "a", "operator": "Equal",
          "value": "x", "effect": "NoSchedule"}, True),
        ({"key": "a", "operator": "Equal", "value": "x"}, {"key": "a", "operator": "Equal",
          "value": "y"}, False),
        ({"key": "a", "value": "x"}, {"key": "a", "operator": "Exists"}, False),
        (key("a", effect="NoExecute", tolerationSeconds=5), key("a", effect="NoExecute",
          tolerationSeconds=4), True),
        (key("a", effect="NoExecute", tolerationSeconds=5), key("a", effect="NoExecute",
          tolerationSeconds=6), False),
        (key("a", effect="NoExecute", tolerationSeconds=5), key("a", effect="NoExecute"), False),
        (key("a", effect="", tolerationSeconds=5), key("a", effect="NoExecute"), True),
        (key("a", effect="NoExecute", tolerationSeconds=5), key("a", effect="NoExecute",
          tolerationSeconds=5), True),
        ({"key": "a", "operator": "Other"}, {"key": "a", "operator": "Exists"}, False),
    ],
)  # fmt: skip
def test_one_toleration_covers_another(wide: Document, narrow: Document, covered: bool) -> None:
    assert tolerations.covers(wide, narrow) is covered


def test_lists_of_tolerations_become_one_without_what_others_cover() -> None:
    wide = {"operator": "Exists"}
    assert tolerations.merge([key("a"), key("b")], [key("a"), key("c")]) == [
        key("a"), key("b"), key("c"),
    ]  # fmt: skip
    assert tolerations.merge([key("a")], [wide, key("b")]) == [wide]
    assert tolerations.all_covered([key("a")], [])
    assert not tolerations.all_covered([key("a")], [key("b")])


def test_events_are_bounded_by_server_namespace_user_and_source() -> None:
    def event(name: str, component: str = "c", about: str = "p") -> Document:
        involved = {"kind": "Pod", "namespace": "default", "name": about}
        return {
            "metadata": {"name": name},
            "involvedObject": involved,
            "source": {"component": component},
        }

    async def test(api: Served) -> None:
        where = "/api/v1/namespaces/default/events"
        (await api.post(where, event("a"))).ok()
        (await api.post(where, event("b"))).ok()
        refused = await api.post(where, event("c"))
        assert refusal(refused, 429) == (
            "Too many requests, please try again later: limit reached on type SourceAndObject for "
            "key cPoddefaultp"
        )
        assert refused.document["reason"] == "TooManyRequests"
        (await api.post(where, event("d", "other"))).ok()
        await asyncio.sleep(1)
        (await api.post(where, event("e"))).ok()
        assert (await api.post(where, event("f"))).code == 429
        await asyncio.sleep(100)
        codes = [(await api.post(where, event(f"g{count}", str(count)))).code for count in range(6)]
        assert codes == [201] * 5 + [429]
        last = await api.post(where, event("h", "h"))
        assert last.message.endswith("limit reached on type Namespace for key default")

    limits = [
        Limit("SourceAndObject", 1, 2, 10),
        Limit("Server", 100, 100),
        Limit("User", 50, 50),
        Limit("Namespace", 1, 5),
    ]
    case(test, "EventRateLimit", event_limits=limits)


def test_who_sends_events_is_bounded_each_for_themselves() -> None:
    async def test(api: Served) -> None:
        everything = {"verbs": ["*"], "apiGroups": [""], "resources": ["events"]}
        for name in ("jane", "joe"):
            await may(api, name, everything)
        where = "/api/v1/namespaces/default/events"
        made = {"involvedObject": {"namespace": "default"}}
        for name, code in (("jane", 201), ("joe", 201), ("jane", 429), ("admin", 201)):
            body = {"metadata": {"generateName": "e"}, **made}
            assert (await api.post(where, body, user=User(name, ("system:masters",)))).code == code

    case(test, "EventRateLimit", event_limits=[Limit("User", 1, 1)])


async def owned(api: Served, *owners: Document, name: str = "c") -> Answer:
    made = config_map(name)
    made["metadata"]["ownerReferences"] = list(owners)
    return await api.post(MAPS, made, user=JANE)


def owner(uid: str = "u", **more: Any) -> Document:
    return {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, **more}


def test_who_gives_owners_must_be_able_to_delete() -> None:
    async def test(api: Served) -> None:
        maps = {"apiGroups": [""], "resources": ["configmaps"]}
        await may(api, "jane", {**maps, "verbs": ["create", "update", "patch", "get"]})
        refused = await owned(api, owner())
        assert refusal(refused) == (
            'configmaps "c" is forbidden: cannot set an ownerRef on a resource you can\'t delete: '
            ", <nil>"
        )
        (await owned(api)).ok()
        (await api.patch(f"{MAPS}/c", {"data": {"a": "b"}}, user=JANE)).ok()
        more = {"metadata": {"ownerReferences": [owner()]}}
        assert (await api.patch(f"{MAPS}/c", more, user=JANE)).code == 403

    case(test, "OwnerReferencesPermissionEnforcement")


def test_who_holds_up_an_owner_must_be_able_to() -> None:
    async def test(api: Served) -> None:
        await may(api, "jane", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]})
        (await owned(api, owner())).ok()
        refused = await owned(api, owner(blockOwnerDeletion=True), name="d")
        assert refusal(refused) == (
            'configmaps "d" is forbidden: cannot set blockOwnerDeletion if an ownerReference '
            "refers to a resource you can't set finalizers on: , <nil>"
        )
        unknown = owner(blockOwnerDeletion=True, apiVersion="x.org/v1", kind="Thing")
        assert refusal(await owned(api, unknown, name="d")) == (
            'configmaps "d" is forbidden: cannot set blockOwnerDeletion in this case because '
            "cannot find RESTMapping for APIVersion x.org/v1 Kind Thing: no matches for kind "
            '"Thing" in version "x.org/v1"'
        )
        rule = {"apiGroups": [""], "resources": ["pods/finalizers"], "verbs": ["update"]}
        await may(api, "more", rule)
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
        (await api.patch(f"{RBAC}/clusterrolebindings/more", {"subjects": [subject]})).ok()
        (await owned(api, owner(blockOwnerDeletion=True), name="d")).ok()

    case(test, "OwnerReferencesPermissionEnforcement")


def test_who_vouches_for_a_signer_may_attest() -> None:
    async def test(api: Served) -> None:
        bundles = {"apiGroups": ["certificates.k8s.io"], "resources": ["clustertrustbundles"]}
        await may(api, "jane", {**bundles, "verbs": ["*"]})
        pem = certificate("ca")
        spec = {"signerName": "example.com/s", "trustBundle": pem}
        made = {"metadata": {"name": "example.com:s:b"}, "spec": spec}
        where = "/apis/certificates.k8s.io/v1/clustertrustbundles"
        assert refusal(await api.post(where, made, user=JANE)) == (
            'clustertrustbundles.certificates.k8s.io "example.com:s:b" is forbidden: user not '
            'permitted to attest for signerName "example.com/s"'
        )
        free = {"metadata": {"name": "free"}, "spec": {"trustBundle": pem}}
        (await api.post(where, free, user=JANE)).ok()
        rule = {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["signers"],
            "resourceNames": ["example.com/*"],
            "verbs": ["attest"],
        }
        (await api.post(where, made)).ok()
        held = {"metadata": {"finalizers": ["example.com/held"]}}
        (await api.patch(f"{where}/example.com:s:b", held, user=JANE)).ok()
        labelled = {"metadata": {"labels": {"a": "b"}}}
        assert (await api.patch(f"{where}/example.com:s:b", labelled, user=JANE)).code == 403
        (await api.patch(f"{where}/example.com:s:b", {"metadata": {"finalizers": None}})).ok()
        (await api.delete(f"{where}/example.com:s:b")).ok()
        await may(api, "attester", rule)
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
        (await api.patch(f"{RBAC}/clusterrolebindings/attester", {"subjects": [subject]})).ok()
        (await api.post(where, made, user=JANE)).ok()

    case(test)


async def bound_pod(api: Served, *declared: str) -> Document:
    """Makes a node that declares features, and a pod on it."""
    amounts = {"cpu": "8", "memory": "8Gi"}
    node = {"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}}}
    status = {"allocatable": amounts, "capacity": amounts, "declaredFeatures": list(declared)}
    (await api.post(NODES, {**node, "status": status})).ok()
    containers = [container(resources={"requests": {"cpu": "1"}})]
    given = pod(nodeName="n", containers=containers, resources={"requests": {"cpu": "2"}})
    return (await api.post(PODS, given)).ok()


POD_LEVEL = {"spec": {"resources": {"requests": {"cpu": "3"}}}}
IN_CONTAINER = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "2"}}}]}}
SCALING = "InPlacePodLevelResourcesVerticalScaling"
HOW = "application/strategic-merge-patch+json"


@pytest.mark.parametrize(
    ("declared", "patch", "refused"),
    [
        ((), POD_LEVEL, True),
        (("Another",), POD_LEVEL, True),
        ((SCALING,), POD_LEVEL, False),
        ((), IN_CONTAINER, False),
    ],
)
def test_a_pod_is_not_changed_into_what_its_node_does_not_declare(
    declared: tuple[str, ...], patch: Document, refused: bool
) -> None:
    async def test(api: Served) -> None:
        await bound_pod(api, *declared)
        answer = await api.patch(f"{PODS}/p/resize", patch, HOW)
        assert answer.code == (403 if refused else 200), answer.document
        if refused:
            assert answer.message == (
                f'pods "p" is forbidden: pod update requires features {SCALING} which are not '
                'available on node "n"'
            )

    case(test)


def test_what_a_node_declares_does_not_matter_where_the_plugin_is_off() -> None:
    async def test(api: Served) -> None:
        await bound_pod(api)
        (await api.patch(f"{PODS}/p/resize", POD_LEVEL, HOW)).ok()

    case(test, off=("NodeDeclaredFeatureValidator",))


def test_plugins_whose_gate_is_off_are_known_and_leave_alone_what_is_written() -> None:
    async def test(api: Served) -> None:
        job = {"metadata": {"name": "j"}, "spec": {"template": {"spec": pod()["spec"]}}}
        job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
        jobs = "/apis/batch/v1/namespaces/default/jobs"
        (await api.post(jobs, job)).ok()
        (await api.patch(f"{jobs}/j", {"spec": {"parallelism": 3}})).ok()

    assert {"JobValidation", "PodGroupProtection"} <= set(enabled())
    case(test)
