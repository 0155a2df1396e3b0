"""The Container Device Interface: what documents may say, which device is found, and what becomes
of a container's document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steersman.node.cdi.edits import CannotEdit, Node, apply_edits, look
from steersman.node.cdi.folders import MAX_BYTES, Library, Unresolvable, read_library
from steersman.node.cdi.specs import BadSpec, Edits, parse_spec
from steersman.runtime import spec as oci

KIND = "vendor.com/gpu"


def document(**fields: Any) -> dict[str, Any]:
    """A document with one device, `0`."""
    device = {"name": "0", "containerEdits": {"env": ["A=b"]}}
    return {"cdiVersion": "1.0.0", "kind": KIND, "devices": [device], **fields}


def edits(**fields: Any) -> dict[str, Any]:
    return document(containerEdits=fields)


def parsed(**fields: Any) -> Edits:
    return parse_spec(json.dumps(edits(**fields)).encode()).container_edits


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (document(cdiVersion="0.2.9"), 'invalid version "0.2.9"'),
        (document(cdiVersion="9.0.0"), 'invalid version "9.0.0"'),
        (document(kind="gpu"), 'invalid kind "gpu"'),
        (document(kind="9v.com/gpu"), 'invalid kind "9v.com/gpu"'),
        (document(devices=[]), "invalid spec, no devices"),
        (
            document(devices=[{"name": "a/b", "containerEdits": {"env": ["A=b"]}}]),
            'invalid device name "a/b"',
        ),
        (document(devices=document()["devices"] * 2), 'invalid spec, multiple device "0"'),
        (document(devices=[{"name": "0"}]), 'invalid device "0", empty device edits'),
        (
            document(devices=[{"name": "0", "containerEdits": {"env": ["A"]}}]),
            'invalid device "0": invalid environment variable "A"',
        ),
        (edits(env=["=b"]), 'invalid environment variable "=b"'),
        (edits(deviceNodes=[{"path": ""}]), "invalid (empty) device path"),
        (
            edits(deviceNodes=[{"path": "/dev/x", "type": "z"}]),
            'device "/dev/x": invalid type "z"',
        ),
        (
            edits(deviceNodes=[{"path": "/dev/x", "major": -1}]),
            'device "/dev/x": invalid (negative) device number -1:0',
        ),
        (
            edits(deviceNodes=[{"path": "/dev/x", "permissions": "rx"}]),
            'device "/dev/x": invalid permissions "rx"',
        ),
        (edits(hooks=[{"hookName": "x", "path": "/x"}]), 'invalid hook name "x"'),
        (edits(hooks=[{"hookName": "prestart", "path": ""}]), 'invalid hook "prestart" with empty'),
        (
            edits(hooks=[{"hookName": "prestart", "path": "/x", "env": ["x"]}]),
            'invalid hook "prestart": invalid environment variable "x"',
        ),
        (edits(mounts=[{"hostPath": "", "containerPath": "/x"}]), "invalid mount, empty host path"),
        (
            edits(mounts=[{"hostPath": "/x", "containerPath": ""}]),
            "invalid mount, empty container path",
        ),
        (edits(additionalGids=[1]) | {"cdiVersion": "0.6.0"}, "at least v0.7.0"),
        (document(cdiVersion="0.5.0", annotations={"a": "b"}), "at least v0.6.0"),
        (document(cdiVersion="0.5.0", kind="vendor.com/gp.u"), "at least v0.6.0"),
        (document(cdiVersion="0.4.0"), "at least v0.5.0"),  # a name that begins with a digit
        (document(surprise=1), "unknown field `surprise`"),
        (edits(deviceNodes=[{"path": 7}]), "Expected `str`, got `int`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_broken_documents_are_refused_with_a_reason(given: Any, why: str) -> None:
    with pytest.raises(BadSpec) as caught:
        parse_spec(json.dumps(given).encode())
    assert why in str(caught.value)


def test_documents_are_json_or_yaml() -> None:
    text = b"cdiVersion: 0.6.0\nkind: vendor.com/net\ndevices:\n- name: a\n  containerEdits:\n"
    text += b"    deviceNodes:\n    - path: /dev/a\n      fileMode: 0o644\n"
    (device,) = parse_spec(text).devices
    assert device.container_edits.device_nodes[0].path == "/dev/a"
    with pytest.raises(BadSpec, match="yaml"):
        parse_spec(b"{")


def write(folder: Path, name: str, given: Any) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(given if isinstance(given, str) else json.dumps(given))
    return file


def variables(library: Library, *names: str) -> list[str]:
    return [it for one in library.edits(names) for it in one.env]


def named(value: str, *names: str, **fields: Any) -> dict[str, Any]:
    """A document with devices that set A to a value."""
    devices = [{"name": it, "containerEdits": {"env": [f"A={value}{it}"]}} for it in names]
    return document(devices=devices, **fields)


def test_devices_are_found_in_the_folders_and_later_ones_come_before(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write(one, "a.json", named("first", "x", "y", "z", containerEdits={"env": ["ALL=1"]}))
    write(two, "b.yaml", named("second", "x"))
    write(two, "c.txt", "nothing")
    (two / "d.json").mkdir()
    library = read_library((one, two, tmp_path / "three"))
    assert library.faults == []
    # What is for all devices of a file comes once, and before theirs
    both = [f"{KIND}=y", f"{KIND}=z"]
    assert variables(library, *both) == ["ALL=1", "A=firsty", "A=firstz"]
    assert variables(library, f"{KIND}=x", f"{KIND}=y", f"{KIND}=y") == [
        "A=secondx",
        "ALL=1",
        "A=firsty",
    ]


def test_a_device_that_is_missed_is_told_with_the_files_that_are_broken(tmp_path: Path) -> None:
    broken = write(tmp_path, "broken.json", document(kind="gpu"))
    big = write(tmp_path, "big.json", " " * (MAX_BYTES + 1))
    first = write(tmp_path, "one.json", named("1", "x", "y"))
    second = write(tmp_path, "two.json", named("2", "x"))
    library = read_library((tmp_path,))
    assert variables(library, f"{KIND}=y") == ["A=1y"]
    with pytest.raises(Unresolvable) as caught:
        library.edits([f"{KIND}=x", f"{KIND}=y", f"{KIND}=z"])
    assert str(caught.value) == (
        f"unresolvable CDI devices {KIND}=x, {KIND}=z ({big}: more than {MAX_BYTES} bytes; "
        f'{broken}: invalid kind "gpu"; conflicting device {KIND}=x ({first}, {second}))'
    )


def container(**fields: Any) -> dict[str, Any]:
    made = oci.container_document(args=["x"], layers=["/l"], sandbox_pid=1, env=["A=a", "B=b"])
    return made | fields


def machine(path: str) -> Node:
    if path == "/dev/none":
        raise CannotEdit(f"{path} is not there")
    return Node("b" if "disk" in path else "c", 10, 229)


def edited(made: dict[str, Any], **fields: Any) -> dict[str, Any]:
    apply_edits(made, [parsed(**fields)], machine)
    return made


def test_variables_take_the_place_of_those_that_are_there() -> None:
    made = edited(container(), env=["B=c", "C=d=e"])
    assert made["process"]["env"] == ["A=a", "B=c", "C=d=e"]


def test_device_nodes_are_completed_from_the_machine() -> None:
    nodes = [
        {"path": "/dev/x", "hostPath": "/dev/disk0", "permissions": "r"},
        {"path": "/dev/y", "type": "c", "major": 5, "minor": 6, "fileMode": 0o600, "uid": 7},
        {"path": "/dev/z", "permissions": "none"},
        {"path": "/dev/p", "type": "p"},
    ]
    made = container()
    made["process"]["user"] = {"uid": 0, "gid": 0, "username": "1000"}
    made = edited(made, deviceNodes=nodes)
    numbers = {"major": 10, "minor": 229}
    assert made["linux"]["devices"] == [
        {"path": "/dev/x", "type": "b", **numbers, "hostPath": "/dev/disk0", "uid": 1000},
        {"path": "/dev/y", "type": "c", "major": 5, "minor": 6, "fileMode": 0o600, "uid": 7},
        {"path": "/dev/z", "type": "c", **numbers, "uid": 1000},
        {"path": "/dev/p", "type": "p", "major": 0, "minor": 0, "uid": 1000},
    ]
    assert made["linux"]["resources"]["devices"] == [
        {"allow": True, "access": "r", "type": "b", **numbers},
        {"allow": True, "access": "rwm", "type": "c", "major": 5, "minor": 6},
    ]


def test_a_container_that_may_use_all_devices_gets_no_further_rule() -> None:
    made = oci.container_document(args=["x"], layers=["/l"], sandbox_pid=1, privileged=True)
    node = {"path": "/dev/x"}
    made = edited(edited(made, deviceNodes=[node]), deviceNodes=[node])
    assert made["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert [it["path"] for it in made["linux"]["devices"]] == ["/dev/x"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"deviceNodes": [{"path": "/dev/none"}]}, "/dev/none is not there"),
        (
            {"deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/disk", "type": "c"}]},
            'CDI device ("/dev/x", "/dev/disk"), host type mismatch (c, b)',
        ),
        ({"intelRdt": {"closID": "x"}}, "intelRdt is not supported"),
    ],
)
def test_what_cannot_be_had_is_said(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotEdit) as caught:
        edited(container(), **fields)
    assert str(caught.value) == why


def test_mounts_are_bound_in_the_order_of_their_depth() -> None:
    mounts = [
        {"hostPath": "/h/deep", "containerPath": "/a/b/c", "options": ["ro", "bind"]},
        {"hostPath": "/h", "containerPath": "/a"},
        {"hostPath": "tmpfs", "containerPath": "/dev/shm", "type": "tmpfs", "options": ["size=1k"]},
    ]
    made = edited(container(), mounts=mounts)
    found = {it["destination"]: it for it in made["mounts"]}
    assert len(found) == len(made["mounts"])
    assert found["/a"] == {
        "destination": "/a",
        "type": "bind",
        "source": "/h",
        "options": ["rbind"],
    }
    assert found["/a/b/c"]["options"] == ["ro", "bind"]
    assert found["/dev/shm"]["type"] == "tmpfs"
    paths = list(found)
    assert paths.index("/dev") < paths.index("/dev/shm")
    assert paths.index("/a") < paths.index("/a/b/c")
    users = container()
    users["linux"]["namespaces"].append({"type": "user", "path": "/u"})
    assert edited(users, mounts=mounts)["mounts"][-1]["options"] == ["ro", "bind", "idmap"]


def test_hooks_and_groups_are_added() -> None:
    hooks = [
        {"hookName": "createContainer", "path": "/h", "args": ["h", "x"], "env": ["A=b"]},
        {"hookName": "createContainer", "path": "/i", "timeout": 3},
        {"hookName": "poststop", "path": "/j"},
    ]
    made = edited(container(), hooks=hooks, additionalGids=[0, 44, 44, 5])
    assert made["hooks"] == {
        "createContainer": [
            {"path": "/h", "args": ["h", "x"], "env": ["A=b"]},
            {"path": "/i", "timeout": 3},
        ],
        "poststop": [{"path": "/j"}],
    }
    assert made["process"]["user"]["additionalGids"] == [44, 5]


def test_device_nodes_of_the_machine_are_looked_at(tmp_path: Path) -> None:
    assert look("/dev/null") == Node("c", 1, 3)
    with pytest.raises(CannotEdit, match=r"failed to stat CDI host device .*: no such file or dir"):
        look(str(tmp_path / "none"))
    with pytest.raises(CannotEdit, match="not a device node"):
        look(str(tmp_path))
