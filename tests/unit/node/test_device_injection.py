"""What device plugins say that a container needs, put together and into its document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steersman.node.devices.injection import (
    NOTHING,
    Injection,
    Mount,
    Node,
    NoDevice,
    find_nodes,
    inject,
    merge,
)
from steersman.runtime import spec as oci


def container() -> dict[str, Any]:
    return oci.container_document(args=["x"], layers=["/l"], sandbox_pid=1)


def test_of_several_plugins_the_first_counts_where_they_say_the_same() -> None:
    one = Injection({"A": "1"}, (Mount("/h1", "/m"),), (Node("/d1", "/dev/d", "r"),), {"a": "1"})
    two = Injection(
        {"A": "2", "B": "2"},
        (Mount("/h2", "/m"), Mount("/h2", "/n", True)),
        (Node("/d2", "/dev/d", "rw"), Node("/d2", "/dev/e", "rw")),
        {"a": "2", "b": "2"},
        ("v.com/c=x", "v.com/c=x"),
    )
    assert merge([one, two]) == Injection(
        {"A": "1", "B": "2"},
        (Mount("/h1", "/m"), Mount("/h2", "/n", True)),
        (Node("/d1", "/dev/d", "r"), Node("/d2", "/dev/e", "rw")),
        {"a": "1", "b": "2"},
        ("v.com/c=x",),
    )
    assert merge([]) == NOTHING
    assert NOTHING.with_cdi(["x", "y", "x"]).cdi == ("x", "y")


def test_devices_mounts_and_annotations_come_into_the_document() -> None:
    made = container()
    injection = Injection(
        mounts=(Mount("/host/lib", "/lib", True), Mount("/host/data", "/data")),
        devices=(Node("/dev/null", "/dev/mine", "rw"),),
        annotations={"a": "b"},
    )
    inject(made, injection, {"/data"})
    assert made["annotations"] == {"a": "b"}
    (mount,) = (it for it in made["mounts"] if it["source"].startswith("/host"))
    assert mount["destination"] == "/lib"
    assert "ro" in mount["options"]
    (node,) = made["linux"]["devices"]
    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/dev/mine", "c", 1, 3)
    assert node["hostPath"] == "/dev/null"
    assert made["linux"]["resources"]["devices"] == [
        {"allow": True, "access": "rw", "type": "c", "major": 1, "minor": 3}
    ]


def test_a_folder_of_devices_comes_whole() -> None:
    made = container()
    nodes = [
        {"path": "/dev/dri/card0", "type": "c", "major": 226, "minor": 0},
        {"path": "/dev/dri/card1", "type": "c", "major": 226, "minor": 1},
    ]
    given = Injection(devices=(Node("/dev/dri", "/dev/gpus", "r"),))
    inject(made, given, (), lambda path: nodes)
    found = [it["path"] for it in made["linux"]["devices"]]
    assert found == ["/dev/gpus/card0", "/dev/gpus/card1"]
    assert "null" in {Path(it["path"]).name for it in find_nodes("/dev")}


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    start = 'error gathering device information while adding custom device "'
    with pytest.raises(NoDevice) as caught:
        find_nodes(str(tmp_path / "x"))
    assert str(caught.value) == f'{start}{tmp_path}/x": no such file or directory'
    (tmp_path / "x").touch()
    with pytest.raises(NoDevice) as caught:
        find_nodes(str(tmp_path / "x"))
    assert str(caught.value) == f'{start}{tmp_path}/x": not a device node'
