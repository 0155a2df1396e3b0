"""What the node lets a container do, in the OCI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from steersman.images.documents import RunConfig
from steersman.model.kinds.pod import Pod
from steersman.node.objects import BadConfiguration
from steersman.node.render.bundle import Ground, render_bundle

GROUND = Ground(
    pid=1,
    shm="/shm",
    layers=[Path("/layer")],
    volumes={"v": Path("/volume"), "kept": Path("/kept")},
    readonly={"kept"},
    etc=Path("/etc-of-pod"),
    termination_log=Path("/termination"),
    log=Path("/log"),
    memory_bytes=1 << 30,
)


def render(
    container: dict[str, Any], spec: dict[str, Any], user: str = "", apparmor: str = ""
) -> Any:
    whole = {"name": "c", "image": "i", "command": ["x"], **container}
    document = {"metadata": {"name": "p"}, "spec": {"containers": [whole], **spec}}
    pod = msgspec.convert(document, Pod, strict=False)
    image = msgspec.convert({"User": user}, RunConfig)
    ground = msgspec.structs.replace(GROUND, apparmor=apparmor)
    return render_bundle(pod, pod.spec.containers[0], image, {}, ground)


def test_files_that_the_node_keeps_are_read_only_whatever_the_mount_says() -> None:
    container = {"volumeMounts": [{"name": "kept", "mountPath": "/v", "readOnly": False}]}
    document = render(container, {"volumes": [{"name": "kept", "secret": {"secretName": "s"}}]})
    (mount,) = [it for it in document["mounts"] if it["destination"] == "/v"]
    assert "ro" in mount["options"] and "rw" not in mount["options"]


def test_a_volume_of_the_pods_own_is_writable() -> None:
    container = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    document = render(container, {"volumes": [{"name": "v", "emptyDir": {}}]})
    (mount,) = [it for it in document["mounts"] if it["destination"] == "/v"]
    assert "rw" in mount["options"]


@pytest.mark.parametrize("user", ["4294967295", "4294967296", "2147483648"])
def test_a_number_that_is_no_user_does_not_pass_for_one_that_is_not_root(user: str) -> None:
    with pytest.raises(BadConfiguration):
        render({"securityContext": {"runAsNonRoot": True}}, {}, user)


def test_a_container_has_the_apparmor_profile_that_it_or_its_pod_names() -> None:
    def profile(**one: str) -> dict[str, Any]:
        return {"securityContext": {"appArmorProfile": one}}

    named = profile(type="Localhost", localhostProfile="mine")
    other = profile(type="Localhost", localhostProfile="pods")
    assert render(named, other)["process"]["apparmorProfile"] == "mine"
    assert render({}, other)["process"]["apparmorProfile"] == "pods"
    free = {"securityContext": {"privileged": True}}
    for container in (free, profile(type="Unconfined")):
        assert "apparmorProfile" not in render(container, other)["process"]
    given = profile(type="RuntimeDefault")
    assert render(given, {}, apparmor="usual")["process"]["apparmorProfile"] == "usual"
    assert "apparmorProfile" not in render({}, {}, apparmor="usual")["process"]
    with pytest.raises(BadConfiguration, match="there is no AppArmor profile for RuntimeDefault"):
        render(given, {})


def test_a_path_that_an_expression_comes_to_stays_in_its_volume() -> None:
    def subpath(expression: str, **env: str) -> Any:
        mount = {"name": "v", "mountPath": "/v", "subPathExpr": expression}
        variables = [{"name": name, "value": value} for name, value in env.items()]
        whole = {"name": "c", "image": "i", "command": ["x"], "volumeMounts": [mount]}
        spec = {"containers": [{**whole, "env": variables}], "volumes": [{"name": "v"}]}
        pod = msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, Pod, strict=False)
        made = render_bundle(pod, pod.spec.containers[0], RunConfig(), env, GROUND)
        return next(it["subPath"] for it in made["mounts"] if it["destination"] == "/v")

    assert subpath("a/$(B)..c", B="b") == "a/b..c"
    assert subpath("$$(B)", B="b") == "$(B)"
    for expression, env, why in (
        ("$(B)/$(A)", {"A": ""}, "missing value for A, B"),
        ("$(A)", {"A": "/tmp"}, "error SubPath `/tmp` must not be an absolute path"),
        ("x/$(A)", {"A": ".."}, "unable to provision SubPath `x/..`: must not contain '..'"),
    ):
        with pytest.raises(BadConfiguration) as raised:
            subpath(expression, **env)
        assert str(raised.value) == why
