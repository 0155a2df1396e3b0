"""Which volume a claim gets, against brute force."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from steersman.controllers.volume_plan import find
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim

MODES = st.sets(st.sampled_from(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]), min_size=1)
CLASSES = st.sampled_from(["", "fast"])
LABELS = st.dictionaries(st.just("kind"), st.sampled_from(["ssd", "hdd"]))
OWNERS = st.sampled_from([None, None, ("data", ""), ("data", "mine"), ("data", "old"), ("x", "y")])
VOLUMES = st.lists(
    st.fixed_dictionaries(
        {
            "size": st.integers(1, 4),
            "modes": MODES,
            "class": CLASSES,
            "labels": LABELS,
            "owner": OWNERS,
            "phase": st.sampled_from(["Available", "Available", "Pending", "Released"]),
            "mode": st.sampled_from(["Filesystem", "Filesystem", "Block"]),
        }
    ),
    max_size=6,
)
CLAIM = st.fixed_dictionaries(
    {"size": st.integers(1, 4), "modes": MODES, "class": CLASSES, "labels": LABELS}
)


def volume(number: int, given: Any) -> PersistentVolume:
    spec = {
        "capacity": {"storage": f"{given['size']}Gi"},
        "accessModes": sorted(given["modes"]),
        "storageClassName": given["class"],
        "volumeMode": given["mode"],
    }
    if given["owner"] is not None:
        name, uid = given["owner"]
        spec["claimRef"] = {"namespace": "default", "name": name, "uid": uid}
    metadata = {"name": f"v{number}", "labels": given["labels"]}
    document = {"metadata": metadata, "spec": spec, "status": {"phase": given["phase"]}}
    return msgspec.convert(document, PersistentVolume)


def claim(given: Any) -> PersistentVolumeClaim:
    spec: dict[str, Any] = {
        "resources": {"requests": {"storage": f"{given['size']}Gi"}},
        "accessModes": sorted(given["modes"]),
        "storageClassName": given["class"],
    }
    if given["labels"]:
        spec["selector"] = {"matchLabels": given["labels"]}
    metadata = {"namespace": "default", "name": "data", "uid": "mine"}
    return msgspec.convert({"metadata": metadata, "spec": spec}, PersistentVolumeClaim)


@given(CLAIM, VOLUMES)
def test_a_claim_gets_its_own_volume_or_the_smallest_free_one_that_fits(
    asked: Any, present: Any
) -> None:
    volumes = [volume(number, one) for number, one in enumerate(present)]
    large = [one for one in present if one["size"] >= asked["size"]]
    own = [one for one in large if one["owner"] in (("data", ""), ("data", "mine"))]
    free = [
        one
        for one in large
        if one["owner"] is None
        and one["phase"] == "Available"
        and one["mode"] == "Filesystem"
        and one["class"] == asked["class"]
        and one["modes"] >= asked["modes"]
        and asked["labels"].items() <= one["labels"].items()
    ]
    found = find(claim(asked), volumes)
    chosen = None if found is None else present[int(found.metadata.name[1:])]
    if own:
        assert chosen in own
    elif not free:
        assert chosen is None
    else:
        assert chosen in free
        assert (len(chosen["modes"]), chosen["size"]) == min(
            (len(one["modes"]), one["size"]) for one in free
        )
    waiting = find(claim(asked), volumes, waits=True)
    assert (waiting is not None) == bool(own)
