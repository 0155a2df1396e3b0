"""Huge pages: what may be used of each size, of which size a volume is, what a node tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from node_documents import pod

from steersman.model.kinds.pod import Pod
from steersman.node import machine
from steersman.node.machine import Facts
from steersman.node.objects import BadConfiguration
from steersman.node.register import allocatable, capacity
from steersman.node.render import huge_pages, limits

TWO, GIG = 2 << 20, 1 << 30


def asking(*amounts: dict[str, str], **spec: Any) -> Pod:
    each = [
        {"name": f"c{n}", "resources": {"limits": it, "requests": it}}
        for n, it in enumerate(amounts)
    ]
    return pod(spec={"containers": each, **spec})


def test_a_size_that_is_not_asked_for_may_not_be_used() -> None:
    given = asking({"hugepages-2Mi": "4Mi", "memory": "1Gi"}, {"hugepages-1Gi": "1Gi"})
    one, other = (
        limits.render_resources(given, it, page_sizes=(TWO, GIG))["hugepageLimits"]
        for it in given.spec.containers
    )
    assert one == [{"pageSize": "2MB", "limit": 4 << 20}, {"pageSize": "1GB", "limit": 0}]
    assert other == [{"pageSize": "2MB", "limit": 0}, {"pageSize": "1GB", "limit": 1 << 30}]
    assert "hugepageLimits" not in limits.render_resources(given, given.spec.containers[0])


def test_a_pod_may_use_what_its_containers_may_together() -> None:
    init = [{"name": "i", "resources": {"limits": {"hugepages-2Mi": "8Mi"}}}]
    given = asking({"hugepages-2Mi": "2Mi"}, {"hugepages-2Mi": "4Mi"}, initContainers=init)
    found = limits.render_pod_resources(given, page_sizes=(64 << 10, TWO))["hugepageLimits"]
    assert found == [{"pageSize": "64KB", "limit": 0}, {"pageSize": "2MB", "limit": 8 << 20}]
    whole = asking({}, resources={"limits": {"hugepages-2Mi": "16Mi"}})
    assert huge_pages.render_pod_limits(whole, (TWO,)) == [{"pageSize": "2MB", "limit": 16 << 20}]


@pytest.mark.parametrize(
    ("asked", "medium", "size"),
    [
        ([{"hugepages-2Mi": "2Mi"}], "HugePages", TWO),
        ([{"hugepages-2Mi": "2Mi"}, {"hugepages-2Mi": "4Mi"}], "HugePages", TWO),
        ([{"hugepages-2Mi": "2Mi"}, {"hugepages-1Gi": "1Gi"}], "HugePages-1Gi", GIG),
    ],
)
def test_pages_of_a_volume_are_of_a_size_that_is_asked_for(
    asked: list[dict[str, str]], medium: str, size: int
) -> None:
    assert huge_pages.page_size(asking(*asked), medium) == size


@pytest.mark.parametrize(
    ("asked", "medium", "why"),
    [
        ([{}], "HugePages", "medium HugePages: hugepages storage requested, but there is no"),
        ([{"hugepages-2Mi": "2Mi"}], "HugePages-1Gi", "medium HugePages-1Gi: hugepages storage"),
        (
            [{"hugepages-2Mi": "2Mi", "hugepages-1Gi": "1Gi"}],
            "HugePages",
            "medium: HugePages can't be used if container requests multiple huge page sizes",
        ),
    ],
)
def test_pages_of_no_size_or_of_several_are_refused(
    asked: list[dict[str, str]], medium: str, why: str
) -> None:
    with pytest.raises(BadConfiguration, match=why):
        huge_pages.page_size(asking(*asked), medium)


def test_pages_are_told_and_are_no_other_memory(tmp_path: Path) -> None:
    for name, count in (("hugepages-2048kB", "512"), ("hugepages-1048576kB", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nr_hugepages").write_text(f"{count}\n")
    pages = machine.read_pages(tmp_path)
    assert pages == {TWO: 512, GIG: 1}
    facts = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64", pages)
    assert capacity(facts)["hugepages-2Mi"] == "1Gi"
    assert allocatable(facts)["hugepages-1Gi"] == "1Gi"
    assert (capacity(facts)["memory"], allocatable(facts)["memory"]) == ("8388608Ki", "6Gi")
