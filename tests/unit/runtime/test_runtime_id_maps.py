"""Reading maps of ids: what is one, what an id is outside, what a plan makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.runtime import container, spec
from steersman.runtime.kernel import capabilities, mounts, syscalls
from steersman.runtime.kernel.user_namespaces import Maps, find_outside, parse_maps, render

IDS = [
    {"containerID": 0, "hostID": 100_000, "size": 10},
    {"containerID": 10, "hostID": 5, "size": 1},
]
PARSED = ((0, 100_000, 10), (10, 5, 1))


def test_maps_are_read_and_told_to_the_kernel() -> None:
    maps = parse_maps({"uidMappings": IDS, "gidMappings": IDS[:1]}, "linux")
    assert maps == Maps(PARSED, PARSED[:1])
    assert maps is not None
    assert render(maps.uids) == "0 100000 10\n10 5 1\n"
    assert maps.root() == (100_000, 100_000)
    assert parse_maps({}, "linux") is None


def test_an_id_inside_is_another_outside() -> None:
    assert [find_outside(PARSED, number) for number in (0, 9, 10)] == [100_000, 100_009, 5]
    with pytest.raises(ValueError, match="container id 11 is not mapped"):
        find_outside(PARSED, 11)


def entry(inside: int, outside: int, size: int) -> dict[str, int]:
    return {"containerID": inside, "hostID": outside, "size": size}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(0, 0, 0)], "no range of ids"),
        ([entry(-1, 0, 1)], "no range of ids"),
        ([entry(0, (1 << 32) - 2, 2)], "no range of ids"),
        ([entry(0, 0, 5), entry(4, 9, 1)], "id 4 is mapped twice"),
        ([entry(0, 7, 5), entry(9, 11, 1)], "id 11 is mapped twice"),
        ([entry(number, number, 1) for number in range(341)], "more than 340 ranges"),
    ],
)
def test_what_is_no_map_is_refused(entries: list[dict[str, int]], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_maps({"uidMappings": entries, "gidMappings": IDS}, "linux")


def plan(**linux: Any) -> container.Plan:
    document = spec.container_document(args=["true"], layers=["/l"], sandbox_pid=1)
    document["linux"].update(linux)
    return container.Plan(document, "/containers/x", held=1)


def test_a_plan_has_a_user_namespace_apart_from_the_others_and_all_capabilities_there() -> None:
    made = plan(namespaces=[{"type": "mount"}, {"type": "user"}], uidMappings=IDS, gidMappings=IDS)
    assert made.namespaces.new == syscalls.CLONE_NEWNS
    assert made.owners == [Maps(PARSED, PARSED)]
    assert (made.owner, made.held) == (0, capabilities.of_kernel())
    joined = plan(namespaces=[{"type": "mount"}, {"type": "user", "path": "/u"}])
    assert (joined.owners, joined.namespaces.join) == (["/u"], {})
    assert plan().owner == -1
    assert plan().held == 1


def test_who_is_not_root_of_a_container_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="container id 0 is not mapped"):
        plan(
            namespaces=[{"type": "mount"}, {"type": "user"}],
            uidMappings=IDS[1:],
            gidMappings=IDS,
        )


def test_mounts_share_the_containers_maps_or_bring_their_own() -> None:
    document = spec.container_document(args=["true"], layers=["/l"], sandbox_pid=1, userns="/u")
    other = [entry(0, 7, 1)]
    document["mounts"] += [
        spec.bind_mount("/a", "/a", mapped=True),
        {**spec.bind_mount("/b", "/b"), "uidMappings": other, "gidMappings": other},
        spec.bind_mount("/c", "/c", mapped=True),
        spec.bind_mount("/d", "/d"),
    ]
    made = container.Plan(document, "/containers/x", held=0)
    assert [(mount.mapped, mount.owner) for mount in made.mounts[-4:]] == [
        ("idmap", 0), ("idmap", 1), ("idmap", 0), ("", -1),
    ]  # fmt: skip
    assert made.owners == ["/u", Maps([(0, 7, 1)], [(0, 7, 1)])]


def test_only_bind_mounts_are_mapped() -> None:
    with pytest.raises(ValueError, match="only bind mounts can be id-mapped"):
        mounts.parse({"destination": "/t", "type": "tmpfs", "options": ["idmap"]})


def test_a_control_group_is_the_containers_own_only_where_it_is_shown_to_be_written() -> None:
    document = spec.container_document(args=["true"], layers=["/l"], sandbox_pid=1)
    assert not container.Plan(document, "/x", held=0).owns_cgroup()
    (shown,) = [mount for mount in document["mounts"] if mount["type"] == "cgroup"]
    shown["options"] = ["rw"]
    assert container.Plan(document, "/x", held=0).owns_cgroup()
    document["linux"]["namespaces"] = [{"type": "mount"}]
    assert not container.Plan(document, "/x", held=0).owns_cgroup()
