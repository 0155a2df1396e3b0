"""The store: names, listing, removal, collection, and two users at once."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from layer_archives import add_image, digest, file, folder, tar_of

from steersman.images.documents import (
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    chain_ids,
    render,
)
from steersman.images.errors import Corrupt, ImageError, ImageNotFound, Refused
from steersman.images.listing import rows
from steersman.images.references import parse
from steersman.images.store import Store

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: unpacking sets owners")
BASE = tar_of(folder("etc"), file("etc/base", b"1"))
TOP = tar_of(file("etc/top", b"2"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_blob_appears_only_whole_and_under_its_digest(store: Store) -> None:
    with store.blobs.writing() as writer:
        writer.write(b"abc")
        assert not store.blobs.has(digest(b"abc"))
        assert writer.commit(digest(b"abc")) == digest(b"abc")
    assert store.blobs.read(digest(b"abc")) == b"abc"
    assert list(store.staging.iterdir()) == []


def test_a_blob_of_another_digest_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(Corrupt, match="has the digest"), store.blobs.writing() as writer:
        writer.write(b"abc")
        writer.commit(digest(b"other"))
    assert list(store.blobs.digests()) == [] and list(store.staging.iterdir()) == []


def test_a_damaged_blob_is_noticed_when_it_is_read(store: Store) -> None:
    name = store.blobs.add(b"abc")
    store.blobs.path(name).write_bytes(b"abd")
    with pytest.raises(Corrupt, match="is damaged"):
        store.blobs.read(name)


@pytest.mark.parametrize(
    "name", ["sha256:../../x", "sha256:" + "g" * 64, "sha256:" + "a" * 63, "sha512:" + "a" * 64, ""]
)
def test_a_digest_cannot_name_another_path(store: Store, name: str) -> None:
    with pytest.raises(Corrupt, match="is no sha256 digest"):
        store.blobs.path(name)


def test_a_large_blob_is_no_document(store: Store) -> None:
    with store.blobs.writing() as writer:
        writer.write(bytes((8 << 20) + 1))
        name = writer.commit()
    with pytest.raises(Refused, match="no document"):
        store.blobs.read(name)


def test_images_are_found_by_name_and_by_the_beginning_of_their_id(store: Store) -> None:
    image = add_image(store, "nginx:1.14.2", BASE)
    assert store.get("nginx:1.14.2").id == image.id
    assert store.get("docker.io/library/nginx:1.14.2").id == image.id
    assert store.get(image.id).id == store.get(image.id[7:]).id == image.id
    assert store.get(image.id[7:19]).id == image.id
    for unknown in ("nginx", "nginx:2", "sha256:" + "0" * 64, "0" * 12):
        with pytest.raises(ImageNotFound, match="no such image"):
            store.get(unknown)


def test_an_image_lists_what_people_want_to_know(store: Store) -> None:
    image = add_image(store, "a/b:1", BASE, TOP)
    store.tag(image.digest, parse("c:2"))
    (listed,) = store.images()
    assert [each.familiar for each in listed.references] == ["a/b:1", "c:2"]
    assert listed.size_bytes == len(BASE) + len(TOP) + store.blobs.size(image.id)
    assert listed.created == "2024-01-02T03:04:05Z"
    assert listed.repo_digest == image.id


def test_a_name_of_hex_digits_wins_over_the_beginning_of_an_id(store: Store) -> None:
    first = add_image(store, "x:1", BASE)
    named = add_image(store, first.id[7:11], TOP)
    assert store.get(first.id[7:11]).id == named.id
    assert store.get(first.id[7:12]).id == first.id
    assert store.get("sha256:" + first.id[7:11]).id == first.id


def test_an_ambiguous_or_too_short_id_is_no_id(store: Store) -> None:
    image = add_image(store, "x:1", BASE)
    with pytest.raises(ImageNotFound):
        store.get(image.id[7:10])


def test_the_listing_has_a_row_for_each_name(store: Store) -> None:
    one, two = add_image(store, "a/b:1", BASE), add_image(store, "r.io/c:2", TOP)
    store.tag(one.digest, parse("a/b:0"), parse("a/b@" + digest(b"i")))
    store.tag(two.digest, parse("d@" + digest(b"j")))
    found = rows(store.images())
    assert [(row.repository, row.tag, row.id) for row in found] == [
        ("a/b", "0", one.id),
        ("a/b", "1", one.id),
        ("d", "<none>", two.id),
        ("r.io/c", "2", two.id),
    ]
    assert (found[0].size_bytes, found[0].created) == (one.size_bytes, "2024-01-02T03:04:05Z")


def test_a_name_given_anew_leaves_the_old_image_without_it(store: Store) -> None:
    add_image(store, "a:1", BASE)
    second = add_image(store, "a:1", TOP)
    assert [each.id for each in store.images()] == [second.id]


def test_a_digest_reference_is_found_and_is_the_repo_digest(store: Store) -> None:
    image = add_image(store, "a:1", BASE)
    pulled = parse("a@" + digest(b"index"))
    store.tag(image.digest, pulled)
    found = store.find(parse("a:other@" + digest(b"index")))
    assert found is not None and found.id == image.id
    assert found.repo_digest == str(pulled)


def test_a_name_needs_all_content(store: Store) -> None:
    image = add_image(store, "a:1", BASE)
    missing = Manifest(2, image.manifest.config, (Descriptor("x", digest(b"?"), 1),), OCI_MANIFEST)
    with pytest.raises(ImageNotFound, match="not in the store"):
        store.tag(store.blobs.add(render(missing)), parse("b:1"))
    short = Manifest(2, image.manifest.config, (), OCI_MANIFEST)
    with pytest.raises(Corrupt, match="differ in their layers"):
        store.tag(store.blobs.add(render(short)), parse("b:1"))
    layer = image.manifest.layers[0]
    wrong = Descriptor(layer.media_type, layer.digest, layer.size + 1)
    sized = Manifest(2, image.manifest.config, (wrong,), OCI_MANIFEST)
    with pytest.raises(Corrupt, match="not of the stated size"):
        store.tag(store.blobs.add(render(sized)), parse("b:1"))
    many = add_image(store, "many:1", *[tar_of(file("x"))] * 500)
    assert len(many.manifest.layers) == 500
    with pytest.raises(Refused, match="more than 500 layers"):
        add_image(store, "many:2", *[tar_of(file("x"))] * 501)
    assert [str(each.references[0]) for each in store.images()] == [
        "docker.io/library/a:1",
        "docker.io/library/many:1",
    ]


def test_removal_takes_the_name_and_with_the_last_tag_the_digests(store: Store) -> None:
    image = add_image(store, "a:1", BASE)
    by_digest, other = parse("a@" + digest(b"i")), parse("b@" + digest(b"i"))
    store.tag(image.digest, parse("a:2"), by_digest, other)
    assert store.remove("a:1") == [parse("a:1")]
    assert set(store.remove("a:2")) == {parse("a:2"), by_digest}
    assert [str(each) for each in store.images()[0].references] == [str(other)]
    assert store.remove(image.id[7:19]) == [other]
    assert store.images() == []
    with pytest.raises(ImageNotFound):
        store.remove("a:1")


@needs_root
def test_layers_are_unpacked_once_and_shared(store: Store) -> None:
    one = add_image(store, "a:1", BASE, compress=True)
    two = add_image(store, "b:1", BASE, TOP)
    (base,) = store.rootfs(one)
    stamp = base.stat().st_ctime_ns
    before = os.listdir("/proc/self/fd")
    assert store.rootfs(two)[0] == base and base.stat().st_ctime_ns == stamp
    assert (store.rootfs(two)[1] / "etc/top").read_text() == "2"
    assert (base / "etc/base").read_text() == "1"
    assert os.listdir("/proc/self/fd") == before


@needs_root
def test_a_layer_that_cannot_be_unpacked_leaves_no_directory(store: Store) -> None:
    image = add_image(store, "a:1", tar_of(file("../x")))
    with pytest.raises(Refused, match="climbs"):
        store.rootfs(image)
    assert list((store.root / "layers").iterdir()) == list(store.staging.iterdir()) == []


@needs_root
def test_collection_removes_what_no_name_reaches_and_nothing_else(store: Store) -> None:
    kept = add_image(store, "keep:1", BASE)
    gone = add_image(store, "gone:1", BASE, TOP)
    store.rootfs(gone)
    (store.staging / "leftover").mkdir()
    store.remove("gone:1")
    collected = store.collect()
    assert (collected.blobs, collected.layers) == (3, 1)
    assert collected.bytes == len(TOP) + gone.manifest.config.size + len(render(gone.manifest))
    assert list(store.staging.iterdir()) == []
    assert (store.rootfs(kept)[0] / "etc/base").exists()
    assert store.collect().blobs == 0


@needs_root
def test_collection_spares_images_in_use(store: Store) -> None:
    image = add_image(store, "a:1", BASE)
    (directory,) = store.rootfs(image)
    store.remove("a:1")
    assert store.collect([image.digest, digest(b"unknown")]).blobs == 0
    assert directory.exists()
    assert store.collect().layers == 1 and not directory.exists()


def test_collection_waits_for_who_adds_content(store: Store) -> None:
    with store.adding(), (store.root / "adding.lock").open("w") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with store.adding():
            pass
    with (store.root / "adding.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_two_processes_that_name_images_lose_no_name(store: Store) -> None:
    image = add_image(store, "a:1", BASE)
    code = (
        "import sys; from pathlib import Path\n"
        "from steersman.images.store import Store\n"
        "from steersman.images.references import parse\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(40): store.tag(sys.argv[2], parse(f'{sys.argv[3]}:{n}'))\n"
    )
    arguments = [sys.executable, "-c", code, str(store.root), image.digest]
    workers = [subprocess.Popen([*arguments, name]) for name in ("x", "y")]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    assert len(store.references()) == 81


def test_a_store_of_a_newer_format_is_refused_and_a_damaged_one_named(store: Store) -> None:
    table = store.root / "references.json"
    table.write_text(json.dumps({"format": 2, "references": {}}))
    with pytest.raises(ImageError, match="newer steersman"):
        store.images()
    table.write_text("{")
    with pytest.raises(Corrupt, match="malformed"):
        store.images()


def test_chain_ids_follow_the_specification() -> None:
    first, second = digest(b"1"), digest(b"2")
    assert chain_ids((first, second)) == [first, digest(f"{first} {second}".encode())]


def test_names_are_on_the_disk_before_they_take_the_place_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    add_image(store, "a:1", BASE)
    monkeypatch.setattr(os, "fsync", noted)
    store.tag(store.get("a:1").digest, parse("b:1"))
    # The file keeps its inode when it is renamed; its directory holds the new name
    table = store.root / "references.json"
    assert synced == [table.stat().st_ino, store.root.stat().st_ino]


def test_the_store_is_closed_to_others(store: Store) -> None:
    modes = {each.stat().st_mode & 0o777 for each in (store.staging, store.cache, store.root)}
    assert modes == {0o700}
