"""A server that shows an earlier minor of Kubernetes: what clients find, and what parts may use."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from served import Served, prepare, serving
from steersman.model import builtin, gates, pack, schema
from steersman.model.surface import Surface
from steersman.wire.message import Peer
from steersman.world.simulated import SimulatedWorld, simulate

OUTSIDE = Peer("192.0.2.1")
# group/version and plural name -> the first minor that served it by default
SINCE = {
    ("admissionregistration.k8s.io/v1", "mutatingadmissionpolicies"): 36,
    ("certificates.k8s.io/v1", "clustertrustbundles"): 37,
    ("networking.k8s.io/v1", "servicecidrs"): 33,
    ("resource.k8s.io/v1", "resourceclaims"): 34,
    ("resource.k8s.io/v1", "devicetaintrules"): 37,
    ("storage.k8s.io/v1", "volumeattributesclasses"): 34,
    ("storagemigration.k8s.io/v1", "storageversionmigrations"): 37,
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies"): 30,
    ("apps/v1", "deployments"): 0,
}


def of_minor(minor: int, test: Any) -> None:
    """Runs a test against a server that shows a minor."""

    async def main(world: SimulatedWorld) -> None:
        async with serving(world, minor=minor) as api:
            await prepare(api)
            await test(api)

    simulate(1, main)


@pytest.mark.parametrize("minor", [30, 33, 36, 37])
def test_clients_find_what_a_minor_served(minor: int) -> None:
    async def test(api: Served) -> None:
        for (group_version, plural), since in SINCE.items():
            path = f"/apis/{group_version}"
            found = await api.get(path)
            listed = found.document.get("resources") or () if found.code == 200 else ()
            assert (plural in {it["name"] for it in listed}) == (since <= minor), plural
            answer = await api.get(f"{path}/{plural}", peer=OUTSIDE)
            assert answer.code == (200 if since <= minor else 404), plural
            assert (await api.get(f"{path}/{plural}")).code == 200, "parts know all kinds"

    of_minor(minor, test)


@pytest.mark.parametrize("minor", [32, 33])
def test_a_subresource_comes_with_its_minor(minor: int) -> None:
    async def test(api: Served) -> None:
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        (await api.post("/api/v1/namespaces/default/pods", pod)).ok()
        path = "/api/v1/namespaces/default/pods/p/resize"
        assert (await api.get(path, peer=OUTSIDE)).code == (200 if minor == 33 else 404)
        names = {it["name"] for it in (await api.get("/api/v1")).ok()["resources"]}
        assert ("pods/resize" in names) == (minor == 33)
        assert "pods/status" in names

    of_minor(minor, test)


@pytest.mark.parametrize(("minor", "emulated"), [(32, False), (33, True)])
def test_the_version_is_that_of_the_minor(minor: int, emulated: bool) -> None:
    async def test(api: Served) -> None:
        told = (await api.get("/version")).ok()
        assert (told["major"], told["minor"]) == ("1", str(minor))
        assert told["gitVersion"] == f"v1.{minor}.0"
        assert (told.get("emulationMinor") == str(minor)) == emulated

    of_minor(minor, test)


def test_apiservices_are_those_of_the_minor() -> None:
    async def test(api: Served) -> None:
        listed = (await api.get("/apis/apiregistration.k8s.io/v1/apiservices")).ok()
        names = {it["metadata"]["name"] for it in listed["items"]}
        assert "v1.apps" in names
        assert not {"v1.resource.k8s.io", "v1.storagemigration.k8s.io"} & names

    of_minor(33, test)


PROGRAM = """
import json, sys
from steersman.model import decode, schema
schema.serve(int(sys.argv[1]))
pod = {"spec": {"containers": [{"name": "c", "image": "i"}], "resources": {}, "hostUsers": True}}
found = decode.admit("io.k8s.api.core.v1.Pod", pod, "Pod", "v1")
known = schema.builtin()
hidden = known.definition("io.k8s.api.resource.v1.ResourceClaim")
told = {
    "unknown": found.unknown,
    "kept": sorted(found.document["spec"]),
    "is_there": "io.k8s.api.resource.v1.ResourceClaim" in known,
    "hidden": bool(hidden.fields),
    "source": "source" in known.definition("io.k8s.api.core.v1.PodResourceClaim").fields,
}
print(json.dumps(told))
"""


@pytest.mark.parametrize("minor", [30, 37])
def test_fields_that_came_later_are_unknown(minor: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(minor)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    assert told["unknown"] == (["spec.resources"] if minor == 30 else [])
    assert ("resources" in told["kept"]) == (minor == 37)
    assert ("hostUsers" in told["kept"]) == (minor == 37), "it was known, and switched off"
    assert told["is_there"] == (minor == 37)
    assert told["hidden"], "parts of the server use it all the same"
    assert told["source"] == (minor == 30), "a field that 1.37 no longer has"


GATED = """
import json, sys
from steersman.model import decode, schema
schema.serve(int(sys.argv[1]))
given = {
    "core.v1.ServiceSpec": {"trafficDistribution": "PreferClose", "ports": [{"port": 1}]},
    "core.v1.PodSpec": {
        "hostUsers": True,
        "containers": [
            {
                "name": "c",
                "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
                "volumeMounts": [{"name": "v", "mountPath": "/", "recursiveReadOnly": "Disabled"}],
            }
        ],
    },
    "apps.v1.StatefulSetUpdateStrategy": {"rollingUpdate": {"partition": 1, "maxUnavailable": 2}},
    "autoscaling.v2.HPAScalingRules": {"tolerance": 1, "policies": []},
}
kept, unknown = set(), []

def walk(value, path):
    for name, child in value.items() if isinstance(value, dict) else enumerate(value):
        kept.add(f"{path}.{name}" if isinstance(name, str) else path)
        if isinstance(child, (dict, list)):
            walk(child, f"{path}.{name}" if isinstance(name, str) else path)

for name, document in given.items():
    found = decode.admit(f"io.k8s.api.{name}", document, "Kind", "v1")
    unknown += found.unknown
    walk(found.document, name.rpartition(".")[2])
print(json.dumps({"kept": sorted(kept), "unknown": unknown}))
"""
# path -> the first minor in which it was known, and that in which it was on
SWITCHED = {
    "ServiceSpec.trafficDistribution": (30, 31),
    "PodSpec.hostUsers": (30, 33),
    "PodSpec.containers.resizePolicy": (30, 33),
    "PodSpec.containers.volumeMounts.recursiveReadOnly": (30, 31),
    "StatefulSetUpdateStrategy.rollingUpdate.maxUnavailable": (30, 35),
    "HPAScalingRules.tolerance": (33, 35),
}


@pytest.mark.parametrize("minor", [30, 31, 32, 33, 34, 35, 37])
def test_what_a_minor_knew_and_had_switched_off_is_left_out(minor: int) -> None:
    command = [sys.executable, "-c", GATED, str(minor)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = json.loads(done.stdout)
    kept = {path for path in SWITCHED if path in told["kept"]}
    assert kept == {path for path, (_, on) in SWITCHED.items() if on <= minor}
    # only what it did not know is told of
    later = [path.partition(".")[2] for path, (known, _) in SWITCHED.items() if known > minor]
    assert told["unknown"] == later
    assert {"ServiceSpec.ports.port", "PodSpec.containers.volumeMounts.mountPath"} <= {
        *told["kept"]
    }
    assert "StatefulSetUpdateStrategy.rollingUpdate.partition" in told["kept"]


def test_every_field_that_was_switched_off_is_there_now() -> None:
    for definition, fields in gates.gated().items():
        known = schema.builtin().definition(definition).fields
        for name, last in fields.items():
            assert name in known, (definition, name)
            assert pack.FIRST_NUMBER <= last < pack.NUMBER
        assert gates.off(definition, pack.NUMBER) == ()
    strategy = "io.k8s.api.batch.v1.JobSpec"
    assert gates.off(strategy, 30) == ("managedBy", "successPolicy")
    assert gates.off(strategy, 31) == ("managedBy",)


def test_another_minor_cannot_be_chosen_once_the_schema_is_read() -> None:
    schema.builtin()
    with pytest.raises(RuntimeError, match="read already"):
        schema.serve(31)


def test_a_difference_leads_from_one_minor_to_another() -> None:
    now = {"a": {"x": 1}, "b": {"x": 2}, "new": {}}
    then = {"a": {"x": 1}, "b": {"x": 3}, "old": {}}
    found = pack.difference(now, then)
    assert found == {"without": ["new"], "otherwise": {"b": {"x": 3}, "old": {}}}
    assert pack.apply_difference(now, found) == then


def test_every_minor_from_1_30_on_has_its_differences() -> None:
    differences = pack.read(schema.EARLIER_FILE, pack.MINORS)
    assert sorted(map(int, differences)) == list(range(pack.FIRST_NUMBER, pack.NUMBER))
    now = schema.builtin().shapes
    for number, found in differences.items():
        shapes = pack.apply_difference(dict(now), found)
        shown = Surface(int(number)).kinds(builtin.Registry().all())
        missing = [
            version.definition
            for kind in shown
            for version in kind.versions
            if version.definition not in shapes
        ]
        assert not missing, f"1.{number} serves what it has no definition of"
