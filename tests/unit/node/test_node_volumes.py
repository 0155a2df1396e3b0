"""Volumes behind claims on the node: what is refused in which words, and the directories."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from steersman.model.errors import NotFound
from steersman.model.kinds.persistentvolume import PersistentVolume
from steersman.model.kinds.persistentvolumeclaim import PersistentVolumeClaim
from steersman.model.times import rfc3339
from steersman.model.types.volume import NFSVolume, ServiceAccountTokenProjection
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import local_path, nfs, ownership, persistent
from steersman.node.volumes.claims import Claims, Unusable, check_claim, check_volume, name_of
from steersman.node.volumes.tokens import Tokens
from steersman.world.interface import World
from steersman.world.simulated import simulate
from unit.node.node_documents import pod

MARKS = {
    "pv.kubernetes.io/provisioned-by": "steersman.io/local-path",
    "local.path.provisioner/selected-node": "here",
}
CLAIMED = {"persistentVolumeClaim": {"claimName": "data"}}
NAME = "pvc-1_default_data"


def owner(**source: Any) -> Any:
    return pod(spec={"volumes": [{"name": "v", **(source or CLAIMED)}]})


def claim(phase: str = "Bound", volume: str = "pv", **metadata: Any) -> PersistentVolumeClaim:
    document = {
        "metadata": {"name": "data", "namespace": "default", "uid": "c", **metadata},
        "spec": {"volumeName": volume},
        "status": {"phase": phase},
    }
    return msgspec.convert(document, PersistentVolumeClaim)


def volume(annotations: Any = MARKS, name: str = "pvc-1", **spec: Any) -> PersistentVolume:
    metadata = {"name": name, "annotations": annotations}
    return msgspec.convert({"metadata": metadata, "spec": spec}, PersistentVolume)


def test_a_claim_is_mounted_once_it_is_bound_and_while_it_stays() -> None:
    mine = owner()
    source = mine.spec.volumes[0]
    assert name_of(mine, source) == "data"
    assert check_claim(mine, source, claim()) == ""
    assert check_claim(mine, source, claim("Pending")) == "PVC is not bound"
    assert check_claim(mine, source, claim(volume="")) == "PVC has empty pvc.Spec.VolumeName"
    going = claim(deletionTimestamp="2026-01-01T00:00:00Z")
    assert check_claim(mine, source, going) == "PVC is being deleted"


def test_an_ephemeral_volume_takes_no_claim_that_is_not_its_pods() -> None:
    mine = owner(ephemeral={"volumeClaimTemplate": {}})
    source, name = mine.spec.volumes[0], mine.metadata.name
    assert name_of(mine, source) == f"{name}-v"
    assert "(pod is not owner)" in check_claim(mine, source, claim())
    reference = {"uid": mine.metadata.uid, "controller": True}
    assert check_claim(mine, source, claim(ownerReferences=[reference])) == ""


def test_a_volume_must_name_the_claim_that_names_it() -> None:
    assert check_volume(volume(claimRef={"uid": "c"}), claim()) == ""
    assert check_volume(volume(), claim()) == (
        "found PV object pvc-1 but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to "
        "the claim"
    )
    assert check_volume(volume(claimRef={"uid": "x"}), claim()) == (
        "found PV object pvc-1 but its pv.Spec.ClaimRef.UID x does not point to claim.UID c"
    )


def prepare(found: PersistentVolume, own: Path, mine: Any = None) -> Path:
    place = own.parent / "pods" / "v"
    persistent.prepare(found, mine or owner(), own, "here", place)
    return place.readlink()


def test_a_directory_of_the_node_is_made_open_to_all_and_kept(tmp_path: Path) -> None:
    own = tmp_path / "local-path"
    found = volume(local={"path": str(own / NAME)})
    made = prepare(found, own)
    assert made == own / NAME
    assert stat.S_IMODE(made.stat().st_mode) == 0o777
    assert stat.S_IMODE(own.stat().st_mode) == 0o711
    (made / "file").write_text("kept")
    assert prepare(found, own) == made
    assert (made / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("path", "annotations"),
    [
        ("../pvc-1_x", MARKS),
        ("deeper/pvc-1_x", MARKS),
        ("pvc-2_x", MARKS),
        (NAME, {}),
        (NAME, {**MARKS, "pv.kubernetes.io/provisioned-by": "example.com/disk"}),
    ],
)
def test_no_directory_is_made_for_other_volumes(
    tmp_path: Path, path: str, annotations: Any
) -> None:
    own = tmp_path / "local-path"
    found = volume(annotations, local={"path": f"{own}/{path}"})
    start = 'MountVolume.NewMounter initialization failed for volume "pvc-1" : path '
    with pytest.raises(BadConfiguration, match=start):
        prepare(found, own)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    elsewhere = {**MARKS, "local.path.provisioner/selected-node": "there"}
    found = volume(elsewhere, local={"path": str(tmp_path / NAME)})
    text = 'MountVolume.NodeAffinity check failed for volume "pvc-1" : no matching'
    with pytest.raises(BadConfiguration, match=text):
        prepare(found, tmp_path)


def test_no_link_leads_making_or_removing_elsewhere(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "file").touch()
    (own / NAME).symlink_to(other)
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        local_path.make(own, NAME)
    with pytest.raises(OSError, match="symbolic link"):
        local_path.remove(own, NAME)
    (own / NAME).unlink()
    local_path.make(own, NAME)
    (own / NAME / "link").symlink_to(other)
    local_path.remove(own, NAME)
    local_path.remove(own, NAME)
    assert not (own / NAME).exists()
    assert (other / "file").exists()
    local_path.remove(tmp_path / "nowhere", NAME)


def test_what_leads_elsewhere_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "pods" / "v"
    persistent.link(place, tmp_path / "a")
    persistent.link(place, tmp_path / "a")
    assert place.readlink() == tmp_path / "a"
    persistent.link(place, tmp_path / "b")
    assert place.readlink() == tmp_path / "b"


def test_what_cannot_be_a_device_and_unknown_kinds_are_refused(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "no", "does not exist"), (tmp_path, "is neither a block device")):
        with pytest.raises(BadConfiguration, match=f'path "{path}" {why}'):
            prepare(volume(volumeMode="Block", local={"path": str(path)}), tmp_path)
    with pytest.raises(BadConfiguration, match="not supported: pvc-1"):
        prepare(volume(volumeMode="Block", hostPath={"path": "/x"}), tmp_path)
    with pytest.raises(BadConfiguration, match="not supported: pvc-1"):
        prepare(volume(csi={"driver": "x"}), tmp_path)


@pytest.mark.parametrize(
    ("mode", "field", "wrong"),
    [
        ("Block", "volumeMounts", True),
        ("Block", "volumeDevices", False),
        ("Filesystem", "volumeMounts", False),
        ("Filesystem", "volumeDevices", True),
    ],
)
def test_a_volume_is_used_as_what_it_is(mode: str, field: str, wrong: bool) -> None:
    used = {"name": "v", "mountPath": "/v", "devicePath": "/v"}
    container = {"name": "a", "image": "x", field: [used]}
    mine = pod(spec={"volumes": [{"name": "v", **CLAIMED}], "containers": [container]})
    found = volume(volumeMode=mode, local={"path": "/x"})
    if not wrong:
        persistent.check_mode(found, mine, "v")
        return
    text = rf"volumes=\[v\]: volume v has volumeMode {mode}, but is specified in {field}$"
    with pytest.raises(Unusable, match=text):
        persistent.check_mode(found, mine, "v")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to a group needs root")
def test_all_files_of_a_volume_are_given_to_the_group_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.touch(mode=0o600)
    (inside / "deep").mkdir(parents=True, mode=0o700)
    file = inside / "deep" / "file"
    file.touch(mode=0o600)
    (inside / "link").symlink_to(outside)
    ownership.give(inside, 3000, "")
    assert [(it.stat().st_gid, oct(it.stat().st_mode)[-4:]) for it in (inside / "deep", file)] == [
        (3000, "2770"),
        (3000, "0660"),
    ]
    assert outside.stat().st_gid != 3000
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600
    assert ownership.is_given(inside.stat(), 3000)
    assert not ownership.is_given(inside.stat(), 3001)
    file.chmod(0o600)
    ownership.give(inside, 3000, "OnRootMismatch")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ownership.give(inside, 3000, "Always")
    assert stat.S_IMODE(file.stat().st_mode) == 0o660


def test_an_export_is_mounted_by_the_machines_own_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = NFSVolume("server", "/export")
    words = ["mount.nfs", "server:/export", "/x"]
    assert nfs.render_command(export, (), Path("/x")) == words
    options = nfs.render_command(NFSVolume("server", "/export", True), ("vers=4",), Path("/x"))
    assert options == [*words, "-o", "ro,vers=4"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadConfiguration, match=r"mount\.nfs is not installed on this node"):
        nfs.prepare(export, (), tmp_path / "v")
    helper = tmp_path / "mount.nfs"
    helper.write_text("#!/bin/sh\necho no such server >&2\nexit 32\n")
    helper.chmod(0o755)
    with pytest.raises(BadConfiguration, match="exit status 32: no such server"):
        nfs.prepare(export, (), tmp_path / "v")


@pytest.mark.parametrize("readonly", [True, False])
def test_an_export_behind_a_claim_is_only_read_where_the_pod_only_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readonly: bool
) -> None:
    helper = tmp_path / "mount.nfs"
    helper.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    behind = volume({}, nfs={"server": "server", "path": "/export"}, volumeMode="Filesystem")
    claimed = {"persistentVolumeClaim": {"claimName": "data", "readOnly": readonly}}
    place = tmp_path / "pod" / "volumes" / "v"
    persistent.prepare(behind, owner(**claimed), tmp_path / "own", "here", place)
    wanted = f"server:/export {place}" + (" -o ro" if readonly else "")
    assert (tmp_path / "asked").read_text() == wanted + "\n"
    assert place.is_dir()


class Issuer:
    """Gives tokens that live for a time, as the API does."""

    def __init__(self, world: World, seconds: float) -> None:
        self.asked: list[Any] = []
        self._world = world
        self._seconds = seconds

    async def post(self, ref: Any, _subresource: str, document: Any) -> Any:
        self.asked.append((ref.name, document["spec"]))
        ends = rfc3339(self._world.now() + self._seconds)
        return {"status": {"token": f"t{len(self.asked)}", "expirationTimestamp": ends}}


@pytest.mark.parametrize(("lives", "renewed"), [(1000, 800), (40 * 3600, 24 * 3600)])
def test_a_token_is_asked_for_anew_when_most_of_its_life_or_a_day_has_passed(
    lives: float, renewed: float
) -> None:
    asked = ServiceAccountTokenProjection(audience="a", expiration_seconds=3600, path="token")

    async def main(world: World) -> None:
        issuer = Issuer(world, lives)
        tokens, given = Tokens(cast(Any, issuer), world), pod()
        first = await tokens.get(given, asked)
        assert first.renew_at == pytest.approx(world.now() + renewed, abs=1)
        await world.sleep(renewed - 2)
        assert (await tokens.get(given, asked)).text == "t1"
        await world.sleep(4)
        assert (await tokens.get(given, asked)).text == "t2"
        tokens.forget("another")
        assert (await tokens.get(given, asked)).text == "t2"
        tokens.forget(given.metadata.uid)
        assert (await tokens.get(given, asked)).text == "t3"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": given.metadata.uid}
        spec = {"expirationSeconds": 3600, "boundObjectRef": bound, "audiences": ["a"]}
        assert issuer.asked[0] == ("default", spec)

    simulate(1, main)


def test_a_token_is_that_of_the_pods_account_and_of_each_audience() -> None:
    async def main(world: World) -> None:
        issuer = Issuer(world, 1000)
        tokens, given = Tokens(cast(Any, issuer), world), pod(spec={"serviceAccountName": "build"})
        for audience in ("", "vault", "", "vault"):
            asked = ServiceAccountTokenProjection(
                audience=audience, expiration_seconds=3600, path="token"
            )
            await tokens.get(given, asked)
        audiences = [spec["audiences"] for _, spec in issuer.asked]
        assert audiences == [[], ["vault"]]
        assert {name for name, _ in issuer.asked} == {"build"}

    simulate(1, main)


class Objects:
    """Claims and volumes by name, as the API has them."""

    def __init__(self, *found: PersistentVolume | PersistentVolumeClaim) -> None:
        self._found = {it.metadata.name: it for it in found}

    async def get(self, ref: Any) -> Any:
        """Returns an object."""
        if ref.name not in self._found:
            raise NotFound(f'{ref.name} "x" not found')
        return self._found[ref.name]


def sought(mine: Any, *found: PersistentVolume | PersistentVolumeClaim) -> PersistentVolume | None:
    claims = Claims(cast(Any, Objects(*found)))
    return asyncio.run(claims.find(mine, mine.spec.volumes[0]))


def test_behind_a_claim_is_the_volume_that_it_is_bound_to_and_behind_others_none() -> None:
    bound = volume(name="pv", claimRef={"uid": "c"})
    assert sought(owner(), claim(), bound) is bound
    assert sought(owner(emptyDir={})) is None


def test_what_was_of_upstreams_tree_is_a_volume_of_its_driver() -> None:
    elastic = {"awsElasticBlockStore": {"volumeID": "aws://z/vol-1"}}
    bound = volume(name="pv", claimRef={"uid": "c"}, **elastic)
    behind, inline = sought(owner(), claim(), bound), sought(owner(**elastic))
    for found, name in ((behind, "pv"), (inline, "ebs.csi.aws.com-vol-1")):
        assert found is not None and found.spec.csi is not None
        assert (found.metadata.name, found.spec.csi["volumeHandle"]) == (name, "vol-1")
    bad = {"awsElasticBlockStore": {"volumeID": "aws://z/disk"}}
    for mine, objects in (
        (owner(), (claim(), volume(name="pv", claimRef={"uid": "c"}, **bad))),
        (owner(**bad), ()),
    ):
        with pytest.raises(Unusable) as caught:
            sought(mine, *objects)
        assert str(caught.value) == (
            "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
            "failed to process volumes=[v]: failed to translate in-tree volume to CSI: failed to "
            "translate Kubernetes ID to EBS Volume ID Invalid format for AWS volume "
            "(aws://z/disk)"
        )


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ((), 'failed to fetch PVC from API server: data "x" not found'),
        ((claim("Pending"),), "PVC is not bound"),
        ((claim(),), 'failed to fetch PV pv from API server: pv "x" not found'),
        (
            (claim(), volume(name="pv", claimRef={"uid": "x"})),
            "found PV object pv but its pv.Spec.ClaimRef.UID x does not point to claim.UID c",
        ),
    ],
)
def test_a_claim_that_cannot_be_used_is_told_in_the_kubelets_words(found: Any, why: str) -> None:
    start = (
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
        "failed to process volumes=[v]: error processing PVC default/data: "
    )
    with pytest.raises(Unusable) as caught:
        sought(owner(), *found)
    assert str(caught.value) == start + why


def test_an_ephemeral_volume_takes_no_claim_of_another_pod() -> None:
    mine = owner(ephemeral={"volumeClaimTemplate": {}})
    other = {"uid": "another", "controller": True}
    assert "(pod is not owner)" in check_claim(
        mine, mine.spec.volumes[0], claim(ownerReferences=[other])
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to a group needs root")
@pytest.mark.parametrize(("readonly", "group"), [(False, 3000), (True, 0)])
def test_a_claimed_directory_is_given_to_the_pods_group_unless_it_is_only_read(
    tmp_path: Path, readonly: bool, group: int
) -> None:
    source = {"persistentVolumeClaim": {"claimName": "data", "readOnly": readonly}}
    volumes = [{"name": "v", **source}]
    mine = pod(spec={"volumes": volumes, "securityContext": {"fsGroup": 3000}})
    own = tmp_path / "local-path"
    assert prepare(volume(local={"path": str(own / NAME)}), own, mine).stat().st_gid == group


def test_a_claimed_path_of_the_node_shows_as_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = volume({}, hostPath={"path": str(tmp_path / "data")})
    assert prepare(found, tmp_path / "own") == tmp_path / "data"
