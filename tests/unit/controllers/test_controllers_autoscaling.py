"""HorizontalPodAutoscaler against a server: what it scales, and what it says in which words.

Metrics come from a transport that answers for the servers of metrics, which are none of ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson
import pytest

from customs import definition, establish, version
from served import DEPLOYMENTS, PODS, Served, deployment, pod, served
from steersman.client.client import APIClient
from steersman.client.local import LocalTransport
from steersman.client.view import FollowedViews
from steersman.cluster.control import ACCOUNT, MANAGER, groups_of
from steersman.controllers.horizontal_pod_autoscaler import HorizontalPodAutoscalerController
from steersman.model.kind import Document
from steersman.reconcile import loop
from steersman.wire.message import Request, Response, User

HPAS = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
EVENTS = "/api/v1/namespaces/default/events"
RESOURCE = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"
CUSTOM = "/apis/custom.metrics.k8s.io"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default"


class WithMetrics(LocalTransport):
    """The way to the server; what is in `told` is answered by somebody else."""

    told: dict[str, Any]
    asked: list[tuple[str, dict[str, list[str]]]]

    async def send(self, request: Request) -> Response:
        """Answers metrics, passes on the rest."""
        path = unquote(request.path)
        if "metrics.k8s.io" not in path:
            return await super().send(request)
        self.asked.append((path, parse_qs(request.query)))
        if path not in self.told:
            return Response(b'{"kind":"Status","code":404,"reason":"NotFound"}', 404)
        return Response(orjson.dumps(self.told[path]))


class Autoscaling:
    """A server with the controller at work, and what tests ask of them."""

    def __init__(self, api: Served) -> None:
        self.api = api
        self.told: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    async def target(self, replicas: int, ready: int | None = None) -> None:
        """Makes a Deployment with pods that have been ready for long."""
        (await self.api.post(DEPLOYMENTS, deployment("web", replicas))).ok()
        for number in range(replicas if ready is None else ready):
            await self.pod(f"p{number}")
        await self.api.world.sleep(1000)

    async def pod(self, name: str) -> None:
        """Makes a pod of the target that requests one processor."""
        resources = {"requests": {"cpu": "1", "memory": "1Gi"}}
        container = {"name": "main", "image": "busybox", "resources": resources}
        made = pod(name, containers=[container])
        made["metadata"]["labels"] = {"app": "web"}
        (await self.api.post(PODS, made)).ok()
        now = "2020-01-01T00:00:00Z"
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        status = {"phase": "Running", "startTime": now, "conditions": [ready]}
        (await self.api.patch(f"{PODS}/{name}/status", {"status": status})).ok()

    def use(self, *cpu: str, container: str = "main") -> None:
        """Says what the pods use of a processor."""
        items = [
            {
                "metadata": {"name": f"p{number}", "namespace": "default"},
                "timestamp": "2020-01-01T01:00:00Z",
                "window": "30s",
                "containers": [{"name": container, "usage": {"cpu": used, "memory": "1Mi"}}],
            }
            for number, used in enumerate(cpu)
        ]
        self.told[RESOURCE] = {"kind": "PodMetricsList", "items": items}

    async def scales(self, *metrics: Document, target: Document | None = None, **spec: Any) -> None:
        """Makes the autoscaler."""
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"maxReplicas": 10, "scaleTargetRef": target or reference, **spec}
        if metrics:
            spec["metrics"] = list(metrics)
        (await self.api.post(HPAS, {"metadata": {"name": "web"}, "spec": spec})).ok()
        await self.api.world.sleep(1)

    async def wanted(self) -> int:
        """Returns the replicas that the target is to have."""
        found = (await self.api.get(f"{DEPLOYMENTS}/web")).ok()
        return int(found["spec"]["replicas"])

    async def status(self) -> Document:
        """Returns the autoscaler's status."""
        found: Document = (await self.api.get(f"{HPAS}/web")).ok()["status"]
        return found

    async def conditions(self) -> dict[str, tuple[str, str, str]]:
        """Returns status, reason and message of each condition."""
        found = (await self.status()).get("conditions") or ()
        return {it["type"]: (it["status"], it["reason"], it["message"]) for it in found}

    async def events(self) -> list[tuple[str, str, str]]:
        """Returns type, reason and message of the events about the autoscaler."""
        found = (await self.api.get(EVENTS)).ok()["items"]
        return [(it["type"], it["reason"], it["message"]) for it in found]


@asynccontextmanager
async def autoscaling(api: Served) -> AsyncIterator[Autoscaling]:
    """Runs the controller as a server runs it."""
    made = Autoscaling(api)
    async with api.world.tasks() as tasks:

        def client_for(name: str) -> APIClient:
            user = User(name, groups_of(name))
            transport = WithMetrics(api.assembly.api.handle, user, tasks)
            transport.told, transport.asked = made.told, made.asked
            return APIClient(transport, api.world, find=api.assembly.kind)

        views = FollowedViews(client_for(MANAGER), api.world, tasks)
        work = loop.run(
            [HorizontalPodAutoscalerController],
            lambda name: client_for(ACCOUNT + name),
            views,
            api.world,
        )
        tasks.start(work, name="controllers")
        yield made
        tasks.stop()


@served
async def test_a_target_grows_with_what_its_pods_use_and_says_so(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(2)
        one.use("1200m", "1200m")
        await one.scales()
        assert await one.wanted() == 3
        status = await one.status()
        current = {"averageUtilization": 120, "averageValue": "1200m"}
        metric = {"type": "Resource", "resource": {"name": "cpu", "current": current}}
        assert status["currentMetrics"] == [metric]
        assert (status["currentReplicas"], status["desiredReplicas"]) == (2, 3)
        assert status["lastScaleTime"]
        assert await one.conditions() == {
            "AbleToScale": (
                "True",
                "SucceededRescale",
                "the HPA controller was able to update the target scale to 3",
            ),
            "ScalingActive": (
                "True",
                "ValidMetricFound",
                "the HPA was able to successfully calculate a replica count from cpu resource "
                "utilization (percentage of request)",
            ),
            "ScalingLimited": (
                "False",
                "DesiredWithinRange",
                "the desired count is within the acceptable range",
            ),
            "ScaledToZero": (
                "False",
                "NotScaledToZero",
                "the HPA controller did not scale the workload to zero",
            ),
        }
        assert await one.events() == [
            (
                "Normal",
                "SuccessfulRescale",
                "New size: 3; reason: cpu resource utilization (percentage of request) above "
                "target",
            )
        ]
        assert one.asked[0] == (RESOURCE, {"labelSelector": ["app=web"]})


@served
async def test_a_target_shrinks_after_five_minutes(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(4)
        one.use(*["80m"] * 4)
        await one.scales()
        await api.world.sleep(280)
        assert await one.wanted() == 4
        assert (await one.conditions())["AbleToScale"] == (
            "True",
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent "
            "recommendation",
        )
        await api.world.sleep(40)
        assert await one.wanted() == 1
        assert (await one.events())[-1][2] == "New size: 1; reason: All metrics below target"


@served
async def test_metrics_are_asked_every_fifteen_seconds_and_only_while_there_is_an_autoscaler(
    api: Served,
) -> None:
    async with autoscaling(api) as one:
        await one.target(1)
        one.use("800m")
        await api.world.sleep(100)
        assert not one.asked
        await one.scales()
        await api.world.sleep(149.5)
        assert len(one.asked) == 11
        before = await one.status()
        revision = (await api.get(f"{HPAS}/web")).revision
        await api.world.sleep(60)
        assert (await one.status(), (await api.get(f"{HPAS}/web")).revision) == (before, revision)
        (await api.delete(f"{HPAS}/web")).ok()
        asked = len(one.asked)
        await api.world.sleep(100)
        assert len(one.asked) == asked


@served
async def test_bounds_come_before_metrics(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(5)
        await one.scales(maxReplicas=3)
        assert await one.wanted() == 3
        reason = "New size: 3; reason: Current number of replicas above Spec.MaxReplicas"
        assert (await one.events())[0][2] == reason
        (await api.patch(f"{HPAS}/web", {"spec": {"minReplicas": 7, "maxReplicas": 9}})).ok()
        await api.world.sleep(1)
        assert await one.wanted() == 7
        reason = "New size: 7; reason: Current number of replicas below Spec.MinReplicas"
        assert (await one.events())[1][2] == reason


@served
async def test_a_target_at_zero_is_left_alone(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(0)
        one.use()
        await one.scales()
        assert await one.wanted() == 0
        assert (await one.conditions())["ScalingActive"] == (
            "False",
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
        )
        assert not await one.events()


@served
async def test_without_metrics_nothing_is_scaled_and_the_reason_is_told(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(1)
        await one.scales()
        why = (
            "failed to get cpu utilization: unable to get metrics for resource cpu: unable to "
            "fetch metrics from resource metrics API: the server could not find the requested "
            "resource (get pods.metrics.k8s.io)"
        )
        assert (await one.conditions())["ScalingActive"] == (
            "False",
            "FailedGetResourceMetric",
            f"the HPA was unable to compute the replica count: {why}",
        )
        whole = (
            "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource "
            f"metric value: {why}"
        )
        assert sorted(await one.events()) == [
            ("Warning", "FailedComputeMetricsReplicas", whole),
            ("Warning", "FailedGetResourceMetric", why),
        ]
        one.use()
        await api.world.sleep(15)
        message = (await one.conditions())["ScalingActive"][2]
        assert message.endswith("cpu: no metrics returned from resource metrics API")
        one.told[RESOURCE] = {"items": [{"metadata": {"name": "p0"}, "containers": "none"}]}
        await api.world.sleep(15)
        message = (await one.conditions())["ScalingActive"][2]
        assert "unable to fetch metrics from resource metrics API: Expected" in message
        one.use("a lot")
        await api.world.sleep(15)
        message = (await one.conditions())["ScalingActive"][2]
        assert "unable to fetch metrics from resource metrics API: quantities must" in message
        one.use("5", container="main")
        await api.world.sleep(15)
        assert (await one.conditions())["ScalingActive"][0] == "True"


def of_container(name: str, **target: Any) -> Document:
    source = {"name": "cpu", "container": name, "target": target}
    return {"type": "ContainerResource", "containerResource": source}


@served
async def test_one_container_can_be_what_counts(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(1)
        one.use("3")
        target = {"type": "AverageValue", "averageValue": "1"}
        await one.scales(of_container("main", **target))
        assert await one.wanted() == 3
        current = {"averageValue": "3"}
        source = {"name": "cpu", "container": "main", "current": current}
        status = await one.status()
        metric = {"type": "ContainerResource", "containerResource": source}
        assert status["currentMetrics"] == [metric]
        one.use("3", container="other")
        await api.world.sleep(15)
        assert (await one.conditions())["ScalingActive"] == (
            "False",
            "FailedGetContainerResourceMetric",
            "the HPA was unable to compute the replica count: failed to get cpu usage: unable to "
            "get metrics for resource cpu: failed to get container metrics: container main not "
            "present in metrics for pod default/p0",
        )


def custom(name: str, value: str, *pods: str) -> Document:
    described = [{"kind": "Pod", "name": one} for one in pods] or [{"kind": "Service", "name": "s"}]
    items = [{"describedObject": one, "metricName": name, "value": value} for one in described]
    return {"kind": "MetricValueList", "items": items}


GROUP = {"preferredVersion": {"groupVersion": "custom.metrics.k8s.io/v1beta2",
                              "version": "v1beta2"}}  # fmt: skip
PLACE = f"{CUSTOM}/v1beta2/namespaces/default"


@served
async def test_custom_metrics_of_pods_are_averaged(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(2)
        target = {"type": "AverageValue", "averageValue": "10"}
        narrowed = {"matchLabels": {"path": "a"}}
        metric = {"name": "hits", "selector": narrowed}
        await one.scales({"type": "Pods", "pods": {"metric": metric, "target": target}})
        assert (await one.conditions())["ScalingActive"] == (
            "False",
            "FailedGetPodsMetric",
            "the HPA was unable to compute the replica count: unable to get metric hits: unable "
            "to fetch metrics from custom metrics API: no custom metrics API "
            "(custom.metrics.k8s.io) registered",
        )
        one.told |= {CUSTOM: GROUP, f"{PLACE}/pods/*/hits": custom("hits", "20", "p0", "p1")}
        await api.world.sleep(15)
        assert await one.wanted() == 4
        query = {"labelSelector": ["app=web"], "metricLabelSelector": ["path=a"]}
        assert one.asked[-1] == (f"{PLACE}/pods/*/hits", query)
        current = {"averageValue": "20"}
        (shown,) = (await one.status())["currentMetrics"]
        assert shown == {"type": "Pods", "pods": {"metric": metric, "current": current}}
        assert (await one.events())[-1][2] == "New size: 4; reason: pods metric hits above target"


def of_object(**target: str) -> Document:
    described = {"apiVersion": "v1", "kind": "Service", "name": "s"}
    kind = "Value" if "value" in target else "AverageValue"
    source = {
        "describedObject": described,
        "metric": {"name": "hits"},
        "target": {"type": kind, **target},
    }
    return {"type": "Object", "object": source}


@pytest.mark.parametrize(
    ("target", "wanted", "current", "told"),
    [
        ({"value": "10"}, 4, {"value": "20"}, "Service metric hits"),
        ({"averageValue": "5"}, 4, {}, "external metric hits(nil)"),
    ],
)
@served
async def test_a_metric_of_an_object_is_divided_or_shared(
    api: Served, target: Any, wanted: int, current: Any, told: str
) -> None:
    async with autoscaling(api) as one:
        await one.target(2)
        (await api.patch(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 2}})).ok()
        one.told |= {CUSTOM: GROUP, f"{PLACE}/services/s/hits": custom("hits", "20")}
        await one.scales(of_object(**target))
        assert await one.wanted() == wanted
        (shown,) = (await one.status())["currentMetrics"]
        assert shown["object"]["current"] == (current or {"averageValue": "10"})
        assert shown["object"]["describedObject"]["name"] == "s"
        assert (await one.events())[-1][2] == f"New size: {wanted}; reason: {told} above target"
        del one.told[f"{PLACE}/services/s/hits"]
        await api.world.sleep(15)
        condition = (await one.conditions())["ScalingActive"]
        assert condition[1] == "FailedGetObjectMetric"
        assert "unable to get metric hits: Service on default s/unable to fetch" in condition[2]


def of_outside(**target: str) -> Document:
    kind = "Value" if "value" in target else "AverageValue"
    metric = {"name": "queue", "selector": {"matchLabels": {"q": "a"}}}
    return {"type": "External", "external": {"metric": metric, "target": {"type": kind, **target}}}


@pytest.mark.parametrize(
    ("target", "wanted", "current"),
    [
        ({"value": "10"}, 5, {"value": "25"}),
        ({"averageValue": "4"}, 7, {"averageValue": "12500m"}),
    ],
)
@served
async def test_an_external_metric_is_summed_up(
    api: Served, target: Any, wanted: int, current: Any
) -> None:
    async with autoscaling(api) as one:
        await one.target(2)
        (await api.patch(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 2}})).ok()
        await one.scales(of_outside(**target), behavior={"scaleUp": {}})
        where = (
            "default/queue/&LabelSelector{MatchLabels:map[string]string{q: a,},"
            "MatchExpressions:[]LabelSelectorRequirement{},}"
        )
        assert (await one.conditions())["ScalingActive"] == (
            "False",
            "FailedGetExternalMetric",
            f"the HPA was unable to compute the replica count: unable to get external metric "
            f"{where}: unable to fetch metrics from external metrics API: the server could not "
            "find the requested resource (get queue.external.metrics.k8s.io)",
        )
        items = [{"value": "20"}, {"value": "5"}]
        one.told[f"{EXTERNAL}/queue"] = {"kind": "ExternalMetricValueList", "items": items}
        await api.world.sleep(15)
        assert await one.wanted() == min(wanted, 6)  # four more in fifteen seconds
        (shown,) = (await one.status())["currentMetrics"]
        assert shown["external"]["current"] == current
        assert one.asked[-1] == (f"{EXTERNAL}/queue", {"labelSelector": ["q=a"]})


@served
async def test_a_target_goes_to_zero_and_back_by_a_metric_from_outside(api: Served) -> None:
    async with autoscaling(api) as one:
        told = f"{EXTERNAL}/queue"
        queue = {"kind": "ExternalMetricValueList", "items": [{"value": "0"}]}
        one.told[told] = queue
        await one.target(1)
        (await api.patch(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 1}})).ok()
        down = {"stabilizationWindowSeconds": 0}
        outside = of_outside(averageValue="4")
        await one.scales(outside, minReplicas=0, behavior={"scaleDown": down})
        assert await one.wanted() == 0
        zeroed = ("True", "ScaledToZero", "the HPA controller scaled the workload to zero")
        assert (await one.conditions())["ScaledToZero"] == zeroed
        assert (await api.get(f"{HPAS}/web")).ok()["metadata"]["generation"] == 1
        assert (await one.status())["observedGeneration"] == 1
        one.told[told] = {**queue, "items": [{"value": "3"}]}
        (await api.patch(f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 0}})).ok()
        await api.world.sleep(15)
        assert await one.wanted() == 1
        assert (await one.conditions())["ScaledToZero"] == (
            "False",
            "NotScaledToZero",
            "the HPA controller did not scale the workload to zero",
        )
        # paused by somebody: nothing wakes it
        (await api.patch(f"{DEPLOYMENTS}/web", {"spec": {"replicas": 0}})).ok()
        await api.world.sleep(30)
        assert await one.wanted() == 0
        assert (await one.conditions())["ScalingActive"][1] == "ScalingDisabled"


@served
async def test_the_highest_of_several_metrics_wins_and_a_missing_one_keeps_from_shrinking(
    api: Served,
) -> None:
    async with autoscaling(api) as one:
        await one.target(2)
        one.use("100m", "100m")
        target = {"type": "Utilization", "averageUtilization": 50}
        resource = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        down = {"scaleDown": {"stabilizationWindowSeconds": 0}}
        await one.scales(resource, of_outside(value="10"), behavior=down)
        assert await one.wanted() == 2
        assert (await one.conditions())["ScalingActive"][1] == "FailedGetExternalMetric"
        (note,) = [it[2] for it in await one.events() if it[1] == "FailedComputeMetricsReplicas"]
        assert note.startswith(
            "invalid metrics (1 invalid out of 2), first error is: failed to get queue external "
            "metric value: "
        )
        one.use("700m", "700m")
        await api.world.sleep(15)
        assert await one.wanted() == 3
        one.use("100m", "100m")
        one.told[f"{EXTERNAL}/queue"] = {"items": [{"value": "1"}]}
        await api.world.sleep(15)
        assert await one.wanted() == 1


@served
async def test_a_target_that_has_no_scale_is_told_in_a_condition(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.scales()
        error = 'deployments.apps "web" not found'
        assert await one.conditions() == {
            "AbleToScale": (
                "False",
                "FailedGetScale",
                f"the HPA controller was unable to get the target's current scale: {error}",
            )
        }
        assert await one.events() == [("Warning", "FailedGetScale", error)]
        other = {"spec": {"scaleTargetRef": {"apiVersion": "a.com/v1", "kind": "X", "name": "x"}}}
        (await api.patch(f"{HPAS}/web", other)).ok()
        await api.world.sleep(1)
        message = (await one.conditions())["AbleToScale"][2]
        assert message.endswith('scale: no matches for kind "X" in group "a.com"')


@served
async def test_two_autoscalers_of_the_same_pods_stop_each_other(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(1)
        one.use("1")
        await one.scales()
        second = (await api.get(f"{HPAS}/web")).ok()
        made = {"metadata": {"name": "again"}, "spec": second["spec"]}
        (await api.post(HPAS, made)).ok()
        await api.world.sleep(16)
        what = (
            "pods by selector app=web are controlled by multiple HPAs: [{default again} "
            "{default web}]"
        )
        assert (await one.conditions())["ScalingActive"] == ("False", "AmbiguousSelector", what)
        assert ("Warning", "AmbiguousSelector", what) in await one.events()
        (await api.delete(f"{HPAS}/again")).ok()
        await api.world.sleep(16)
        assert (await one.conditions())["ScalingActive"][0] == "True"


@served
async def test_a_custom_resource_with_a_scale_is_scaled(api: Served) -> None:
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    number = {"type": "integer"}
    fields = {
        "spec": {"type": "object", "properties": {"replicas": number}},
        "status": {
            "type": "object",
            "properties": {"replicas": number, "selector": {"type": "string"}},
        },
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": fields}}
    one_version = {
        **version("v1"),
        "schema": schema,
        "subresources": {"status": {}, "scale": scale},
    }
    async with autoscaling(api) as one:
        await establish(api, definition(one_version))
        path = "/apis/example.com/v1/namespaces/default/widgets"
        head = {"apiVersion": "example.com/v1", "kind": "Widget"}
        made = {**head, "metadata": {"name": "w"}, "spec": {"replicas": 1}}
        (await api.post(path, made)).ok()
        target = {**head, "name": "w"}
        await one.scales(target=target)
        assert (await one.conditions())["ScalingActive"] == (
            "False",
            "InvalidSelector",
            "the HPA target's scale is missing a selector",
        )
        status = {"status": {"replicas": 1, "selector": "app=web"}}
        (await api.patch(f"{path}/w/status", status)).ok()
        await one.pod("p0")
        one.use("4")
        await api.world.sleep(15)
        assert (await api.get(f"{path}/w")).ok()["spec"]["replicas"] == 4


@served
async def test_a_scale_that_is_refused_is_told(api: Served) -> None:
    async with autoscaling(api) as one:
        await one.target(1)
        one.use("4")
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        name = "system:controller:horizontal-pod-autoscaler"
        role = (await api.get(f"{roles}/{name}")).ok()
        kept = [rule for rule in role["rules"] if "*/scale" not in rule.get("resources", ())]
        scales = {"apiGroups": ["*"], "resources": ["*/scale"], "verbs": ["get"]}
        (await api.patch(f"{roles}/{name}", {"rules": [*kept, scales]})).ok()
        await one.scales()
        assert await one.wanted() == 1
        condition = (await one.conditions())["AbleToScale"]
        assert condition[:2] == ("False", "FailedUpdateScale")
        text = "the HPA controller was unable to update the target scale: deployments.apps"
        assert condition[2].startswith(text)
        (note,) = [it[2] for it in await one.events() if it[1] == "FailedRescale"]
        assert note.startswith("New size: 4; reason: cpu resource utilization (percentage of")
        assert (await one.status())["desiredReplicas"] == 0
