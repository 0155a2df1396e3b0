"""LimitRange: the rows of [sig-scheduling] LimitRange."""

from __future__ import annotations

from typing import Any

from served import Document
from simulation.objects import Objects, seen
from simulation.quiet import Quiet, pod_template, quietly


def limits(**given: Document) -> Document:
    """Returns the spec of a LimitRange for containers."""
    return {"limits": [{"type": "Container", **given}]}


def sizes(cpu: str, memory: str, storage: str) -> Document:
    return {"cpu": cpu, "memory": memory, "ephemeral-storage": storage}


def full() -> Document:
    return limits(
        min=sizes("50m", "100Mi", "100Gi"),
        max=sizes("500m", "500Mi", "500Gi"),
        default=sizes("500m", "500Mi", "500Gi"),
        defaultRequest=sizes("100m", "200Mi", "200Gi"),
    )


def pod(**resources: Document) -> Document:
    spec: Document = pod_template({})["spec"]
    spec["containers"][0]["resources"] = resources
    return spec


async def refused(pods: Objects, resources: Any) -> str:
    """Creates a pod that the range does not allow; returns why."""
    document = {"metadata": {"name": "refused"}, "spec": pod(**resources)}
    answer = await pods.api.post(pods.path, document)
    assert answer.code == 403, answer.document
    return answer.message


def test_a_limit_range_gives_defaults_and_refuses_what_is_beyond_its_bounds() -> None:
    async def scenario(quiet: Quiet) -> None:
        ranges, pods = Objects(quiet, "/api/v1", "limitranges"), Objects(quiet, "/api/v1", "pods")
        watched = await ranges.watch()
        await ranges.post("limit", spec=full())
        found = await seen(watched, "ADDED", lambda it: it["metadata"]["name"] == "limit")
        assert found["spec"] == full()
        bare = await pods.post("bare", spec=pod())
        assert bare["spec"]["containers"][0]["resources"] == {
            "requests": sizes("100m", "200Mi", "200Gi"),
            "limits": sizes("500m", "500Mi", "500Gi"),
        }
        given = {
            "requests": {"cpu": "300m", "memory": "150Mi"},
            "limits": {"cpu": "300m", "ephemeral-storage": "300Gi"},
        }
        partial = await pods.post("partial", spec=pod(**given))
        assert partial["spec"]["containers"][0]["resources"] == {
            "requests": sizes("300m", "150Mi", "300Gi"),
            "limits": sizes("300m", "500Mi", "300Gi"),
        }
        low = await refused(pods, {"requests": sizes("10m", "50Mi", "50Gi")})
        assert "minimum cpu usage per Container is 50m, but request is 10m" in low
        high = await refused(pods, {"limits": sizes("600m", "600Mi", "600Gi")})
        assert "maximum cpu usage per Container is 500m, but limit is 600m" in high
        lower = full()
        lower["limits"][0]["min"] = sizes("9m", "49Mi", "49Gi")
        await ranges.put({**await ranges.get("limit"), "spec": lower})
        await pods.post("small", spec=pod(requests=sizes("10m", "50Mi", "50Gi")))
        assert "maximum cpu usage" in await refused(pods, {"limits": sizes("600m", "1Mi", "1Gi")})
        await ranges.delete("limit")
        await seen(watched, "DELETED", lambda it: it["metadata"]["name"] == "limit")
        await pods.post("large", spec=pod(limits=sizes("600m", "600Mi", "600Gi")))

    quietly(scenario)


def test_limit_ranges_are_listed_patched_and_deleted_as_a_collection() -> None:
    async def scenario(quiet: Quiet) -> None:
        label = {"e2e-limitrange-test": "yes"}
        chosen = "e2e-limitrange-test=yes"
        spaces = Objects(quiet, "/api/v1", "namespaces", "")
        await spaces.post("other")
        here = Objects(quiet, "/api/v1", "limitranges")
        there = Objects(quiet, "/api/v1", "limitranges", "other")
        for place in (here, there):
            await place.post("limit", spec=full(), metadata={"labels": label})
        assert await here.names(chosen, everywhere=True) == ["limit", "limit"]
        change = {
            "spec": limits(min=sizes("40m", "100Mi", "100Gi")),
            "metadata": {"labels": {"limit": "patched"}},
        }
        patched = await here.patch("limit", change)
        assert patched["spec"]["limits"][0]["min"]["cpu"] == "40m"
        assert await here.names("limit=patched", everywhere=True) == ["limit"]
        await here.clear("limit=patched")
        assert await here.names(chosen) == []
        assert await here.names(chosen, everywhere=True) == ["limit"]

    quietly(scenario)
