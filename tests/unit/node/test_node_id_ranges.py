"""Ids of pods with users of their own: which range a pod has, and that none has it twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from steersman.node.id_ranges import IDS_PER_POD, BadRange, IdRanges, parse_subordinate
from steersman.node.paths import Paths


def first_of(maps: dict[str, Any]) -> int:
    assert maps["uidMappings"] == maps["gidMappings"]
    (entry,) = maps["uidMappings"]
    assert (entry["containerID"], entry["size"]) == (0, IDS_PER_POD)
    return int(entry["hostID"])


def test_each_pod_has_a_range_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    ranges = IdRanges(Paths(tmp_path), 131072, 3)
    taken = [first_of(ranges.take(uid)) for uid in ("a", "b", "a", "c")]
    assert taken == [131072, 196608, 131072, 262144]
    with pytest.raises(BadRange, match="could not find an empty slot to allocate a user namespace"):
        ranges.take("d")
    ranges.release("b")
    ranges.release("unknown")
    assert first_of(ranges.take("d")) == 196608


def test_what_a_pod_has_is_on_disk_as_the_kubelet_writes_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    ranges = IdRanges(paths, IDS_PER_POD, 5)
    ranges.take("a")
    ranges.take("b")
    mapping = {"hostId": 65536, "containerId": 0, "length": 65536}
    written = msgspec.json.decode((tmp_path / "pods/a/userns").read_bytes())
    assert written == {"uidMappings": [mapping], "gidMappings": [mapping]}
    ranges.release("a")
    assert not (tmp_path / "pods/a/userns").exists()
    (tmp_path / "pods/without").mkdir()
    restarted = IdRanges(paths, IDS_PER_POD, 5)
    assert first_of(restarted.take("c")) == 65536
    assert first_of(restarted.take("b")) == 131072
    assert first_of(restarted.take("d")) == 196608


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"uidMappings":[],"gidMappings":[]}',
        '{"uidMappings":[{"hostId":65536,"containerId":0,"length":65536}],"gidMappings":[]}',
        '{"uidMappings":[{"hostId":65536,"containerId":1,"length":65536}],'
        '"gidMappings":[{"hostId":65536,"containerId":1,"length":65536}]}',
        '{"uidMappings":[{"hostId":65536,"containerId":0,"length":9}],'
        '"gidMappings":[{"hostId":65536,"containerId":0,"length":9}]}',
    ],
)
def test_a_file_that_says_nothing_sensible_is_told_rather_than_passed_over(
    tmp_path: Path, text: str
) -> None:
    paths = Paths(tmp_path)
    paths.pod("a").mkdir(parents=True)
    paths.users("a").write_text(text)
    with pytest.raises(BadRange, match="a/userns"):
        IdRanges(paths, IDS_PER_POD, 5)


def test_without_subordinate_ids_all_beyond_the_machines_own_are_for_pods() -> None:
    first, count = parse_subordinate("root:100000:65536\n", "")
    assert first == 65536
    assert first + count * IDS_PER_POD == (1 << 32) - 65536


def test_the_kubelets_subordinate_ids_are_for_pods() -> None:
    text = "x:1:2\nkubelet:131072:655360\n"
    assert parse_subordinate(text, text) == (131072, 10)


@pytest.mark.parametrize(
    ("users", "groups", "reason"),
    [
        ("kubelet:65536:65536", "", "mismatched"),
        ("kubelet:65536:65536", "kubelet:65536:131072", "mismatched"),
        ("kubelet:65536:65536\nkubelet:131072:65536", None, "exactly one range"),
        ("kubelet:x:65536", None, "exactly one range"),
        ("kubelet:65536", None, "exactly one range"),
        ("kubelet:65537:65536", None, "multiples of 65536"),
        ("kubelet:65536:65537", None, "multiples of 65536"),
        ("kubelet:0:65536", None, "must be greater or equal to 65536"),
    ],
)
def test_subordinate_ids_that_cannot_be_given_are_refused(
    users: str, groups: str | None, reason: str
) -> None:
    with pytest.raises(BadRange, match=reason):
        parse_subordinate(users, users if groups is None else groups)
