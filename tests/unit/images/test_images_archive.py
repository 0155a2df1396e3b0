"""Archives: what docker and others save is loaded, what we save others load, lies are refused."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layer_archives import Member, add_image, digest, file, hard_link, link, tar_of

from steersman.images import archive
from steersman.images.documents import OCI_LAYER, host_platform
from steersman.images.errors import Corrupt, ImageError, ImageNotFound, Refused
from steersman.images.references import parse
from steersman.images.store import Store

BASE = tar_of(file("base", b"1"))
TOP = tar_of(file("top", b"2"))
ARCH = host_platform().architecture


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def js(value: Any) -> bytes:
    return json.dumps(value).encode()


def config(*diffs: bytes, architecture: str = ARCH) -> bytes:
    return js(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "container_config": {"Cmd": None},
            "config": {"Cmd": ["/x"], "Env": None, "Unknown": [1]},
            "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in diffs]},
        }
    )


def docker_save(*layers: bytes, tags: list[str] | None) -> list[Member]:
    """An archive as docker wrote it before 25: layers first, manifest.json at the end."""
    data = config(*layers)
    members = [file(f"{n}/layer.tar", each) for n, each in enumerate(layers)]
    names = [f"{n}/layer.tar" for n in range(len(layers))]
    saved = [{"Config": "c.json", "RepoTags": tags, "Layers": names}]
    return [*members, file("c.json", data), file("manifest.json", js(saved))]


def layout(
    manifest: dict[str, Any] | None = None, name: str = "docker.io/library/x:1", **blobs: bytes
) -> list[Member]:
    """An OCI layout with one gzip layer; `blobs` replaces contents under their digests."""
    layer, data = gzip.compress(BASE, mtime=0), config(BASE)
    manifest = manifest or {
        "schemaVersion": 2,
        "config": {"mediaType": "c", "digest": digest(data), "size": len(data)},
        "layers": [{"mediaType": "l+gzip", "digest": digest(layer), "size": len(layer)}],
    }
    top = js(manifest)
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(top),
                "size": len(top),
                "annotations": {"org.opencontainers.image.ref.name": name},
            }
        ],
    }
    contents = {digest(each): each for each in (layer, data, top)}
    return [
        file("oci-layout", b"{}"),
        file("index.json", js(index)),
        *(
            file(f"blobs/sha256/{key[7:]}", blobs.get("all", each))
            for key, each in contents.items()
        ),
    ]


def test_what_docker_saves_is_loaded(store: Store) -> None:
    members = docker_save(BASE, TOP, tags=["nginx:1", "gcr.io/a/b:2"])
    (image,) = archive.load(store, io.BytesIO(tar_of(*members)))
    assert image.run_config.cmd == ("/x",)
    assert image.config.rootfs.diff_ids == (digest(BASE), digest(TOP))
    assert store.get("nginx:1").id == store.get("gcr.io/a/b:2").id == digest(config(BASE, TOP))


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_a_layout_is_loaded_also_when_compressed(
    store: Store, wrap: Callable[[bytes], bytes]
) -> None:
    (image,) = archive.load(store, io.BytesIO(wrap(tar_of(*layout()))))
    assert store.get("x:1").id == image.id
    assert image.manifest.layers[0].media_type == "l+gzip"


def test_an_index_in_a_layout_gives_the_image_of_this_machine(store: Store) -> None:
    members = layout()
    manifest = json.loads(members[1][1])["manifests"][0]  # type: ignore[index]
    platform = {"os": "linux", "architecture": ARCH}
    other = {"mediaType": "m", "digest": digest(b"absent"), "size": 1}
    inner = js(
        {
            "schemaVersion": 2,
            "manifests": [
                {**other, "platform": {"os": "linux", "architecture": "vax"}},
                {**manifest, "platform": platform},
            ],
        }
    )
    outer = {
        **manifest,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": digest(inner),
        "size": len(inner),
    }
    members[1] = file("index.json", js({"schemaVersion": 2, "manifests": [outer]}))
    members.append(file(f"blobs/sha256/{digest(inner)[7:]}", inner))
    (image,) = archive.load(store, io.BytesIO(tar_of(*members)))
    assert image.config.architecture == ARCH
    lonely = js({"schemaVersion": 2, "manifests": [json.loads(inner)["manifests"][0]]})
    outer |= {"digest": digest(lonely), "size": len(lonely)}
    members[1] = file("index.json", js({"schemaVersion": 2, "manifests": [outer]}))
    members.append(file(f"blobs/sha256/{digest(lonely)[7:]}", lonely))
    with pytest.raises(ImageNotFound, match="for this machine"):
        archive.load(store, io.BytesIO(tar_of(*members)))


def test_layers_that_old_dockers_wrote_as_links_are_found(store: Store) -> None:
    members = docker_save(BASE, BASE, BASE, tags=["x"])
    members[1] = link("1/layer.tar", "../0/layer.tar")
    members[2] = hard_link("2/layer.tar", "0/layer.tar")
    (image,) = archive.load(store, io.BytesIO(tar_of(*members)))
    assert [each.digest for each in image.manifest.layers] == [digest(BASE)] * 3


def test_a_layer_is_known_by_how_it_is_compressed(store: Store) -> None:
    members = replaced(docker_save(BASE, TOP, tags=["x"]), "1/layer.tar", gzip.compress(TOP))
    (image,) = archive.load(store, io.BytesIO(tar_of(*members)))
    kinds = [each.media_type for each in image.manifest.layers]
    assert kinds == [OCI_LAYER, f"{OCI_LAYER}+gzip"]


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({"org.opencontainers.image.ref.name": "x:1"}, "docker.io/library/x:1"),
        ({"org.opencontainers.image.ref.name": "me/x"}, "docker.io/me/x:latest"),
        (
            {
                "org.opencontainers.image.ref.name": "1",
                "io.containerd.image.name": "quay.io/me/x:1",
            },
            "quay.io/me/x:1",
        ),
    ],
)
def test_an_image_of_a_layout_has_the_name_that_containerd_gave_it_or_the_layout(
    store: Store, annotations: dict[str, str], name: str
) -> None:
    members = layout()
    index = json.loads(members[1][1])  # type: ignore[index]
    index["manifests"][0]["annotations"] = annotations
    members[1] = file("index.json", js(index))
    archive.load(store, io.BytesIO(tar_of(*members)))
    assert list(store.references()) == [name]


def test_a_layout_whose_layer_is_not_what_its_configuration_says_is_corrupt(store: Store) -> None:
    layer, data = gzip.compress(BASE, mtime=0), config(TOP)
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": "c", "digest": digest(data), "size": len(data)},
        "layers": [{"mediaType": "l+gzip", "digest": digest(layer), "size": len(layer)}],
    }
    members = [*layout(manifest), file(f"blobs/sha256/{digest(data)[7:]}", data)]
    with pytest.raises(Corrupt, match="does not have the diff ID"):
        archive.load(store, io.BytesIO(tar_of(*members)))
    assert store.images() == []


@pytest.mark.parametrize(("limit", "value"), [("ENTRY_LIMIT", 2), ("TOTAL_LIMIT", len(BASE))])
def test_an_archive_is_bounded_in_files_and_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(archive, limit, value)
    with pytest.raises(Refused, match="the archive holds over"):
        archive.load(store, io.BytesIO(tar_of(*docker_save(BASE, tags=["x"]))))


def replaced(members: list[Member], name: str, data: bytes) -> list[Member]:
    return [file(name, data) if each[0].name == name else each for each in members]  # type: ignore[index,union-attr]


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (lambda: [file("x", b"")], Corrupt, "no image archive"),
        (lambda: docker_save(BASE, tags=None), Refused, "without a name"),
        (lambda: docker_save(BASE, tags=["BAD"]), ImageError, "lowercase"),
        (lambda: docker_save(BASE, tags=["x"])[1:], Corrupt, "lacks 0/layer.tar"),
        (
            lambda: replaced(docker_save(BASE, tags=["x"]), "0/layer.tar", TOP),
            Corrupt,
            "does not have the diff ID",
        ),
        (
            lambda: replaced(docker_save(BASE, TOP, tags=["x"]), "c.json", config(BASE)),
            Corrupt,
            "differ in number",
        ),
        (lambda: replaced(docker_save(BASE, tags=["x"]), "c.json", b"{"), Corrupt, "malformed"),
        (lambda: [file("manifest.json", b"[]")], Refused, "holds 0 images"),
        (lambda: [file("manifest.json", b'{"a":1}')], Corrupt, "malformed"),
        (lambda: [file("manifest.json", b"[" * 100_000)], Corrupt, "malformed"),
        (lambda: layout(all=b"forged"), Corrupt, "in the archive has the digest"),
        (lambda: layout()[:2] + layout()[3:], Corrupt, "lacks blobs/sha256/"),
        (lambda: layout(name="latest"), Refused, "does not name its image"),
        (lambda: layout(name="x:/"), ImageError, "invalid reference format"),
        (lambda: layout({"schemaVersion": 2}), Corrupt, "malformed"),
    ],
)
def test_an_archive_that_lies_or_lacks_is_refused(
    store: Store, make: Callable[[], list[Member]], error: type[ImageError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        archive.load(store, io.BytesIO(tar_of(*make())))
    assert store.images() == []


@pytest.mark.parametrize("cut", [100, 700, 3000])
def test_a_truncated_archive_is_corrupt(store: Store, cut: int) -> None:
    data = tar_of(*docker_save(BASE, TOP, tags=["x"]))
    with pytest.raises(Corrupt, match="the archive is damaged"):
        archive.load(store, io.BytesIO(data[:cut]))
    with pytest.raises(Corrupt, match="truncated"):
        archive.load(store, io.BytesIO(gzip.compress(data)[: cut // 10]))
    assert list(store.staging.iterdir()) == []


def test_names_in_an_archive_touch_no_file(store: Store, tmp_path: Path) -> None:
    before = sorted(each for each in tmp_path.rglob("*") if "store" not in each.parts)
    members = [file("../../evil", b"x"), link("l", "/etc"), file("l/evil", b"x")]
    archive.load(store, io.BytesIO(tar_of(*members, *docker_save(BASE, tags=["x"]))))
    assert sorted(each for each in tmp_path.rglob("*") if "store" not in each.parts) == before
    assert not os.path.exists("/etc/evil")


def test_what_is_saved_is_loaded_again_from_either_form(store: Store, tmp_path: Path) -> None:
    images = [add_image(store, "a:1", BASE, TOP), add_image(store, "b/c:2", BASE, compress=True)]
    store.tag(images[0].digest, parse("a@" + digest(b"i")))
    out = io.BytesIO()
    archive.save(store, store.images(), out.write)
    ours = Store(tmp_path / "again")
    loaded = archive.load(ours, io.BytesIO(out.getvalue()))
    assert {each.id for each in loaded} == {each.id for each in images}
    assert sorted(ours.references()) == ["docker.io/b/c:2", "docker.io/library/a:1"]
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as stream:
        members = {each.name: stream.extractfile(each).read() for each in stream}  # type: ignore[union-attr]
    assert members["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}'
    assert out.getvalue().endswith(bytes(1024))  # the end of an archive (POSIX pax)
    del members["manifest.json"]
    data = tar_of(*(file(name, content) for name, content in members.items()))
    theirs = Store(tmp_path / "layout")
    by_layout = archive.load(theirs, io.BytesIO(data))
    assert {each.digest for each in by_layout} == {each.digest for each in images}
    assert theirs.references().keys() == ours.references().keys()


def test_a_blob_that_was_cut_in_the_store_is_not_saved(store: Store) -> None:
    image = add_image(store, "a:1", BASE)
    path = store.blobs.path(image.manifest.layers[0].digest)
    os.truncate(path, 100)
    with pytest.raises(Corrupt, match="in the store is shorter than stated"):
        archive.save(store, [image], io.BytesIO().write)


def test_saving_is_deterministic(store: Store) -> None:
    add_image(store, "a:1", BASE, TOP)
    first, second = io.BytesIO(), io.BytesIO()
    archive.save(store, store.images(), first.write)
    archive.save(store, store.images(), second.write)
    assert first.getvalue() == second.getvalue()
