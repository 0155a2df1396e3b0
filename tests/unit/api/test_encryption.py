"""Encryption at rest: what the store holds, how keys change, what is told of the unreadable."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from served import Served, serving
from steersman.api.encryption.ciphers import AESCBC, AESGCM, Cipher, SecretBox, Unreadable
from steersman.api.encryption.configuration import Encryption, parse
from steersman.api.encryption.sealed_store import SealedStore
from steersman.store.interface import Conflict, Write
from steersman.store.memory import MemoryStore
from steersman.store.sqlite import open_sqlite
from steersman.world.real import RealWorld
from steersman.world.simulated import SimulatedWorld, simulate

SECRETS = "/api/v1/namespaces/default/secrets"
KEY = "/core/secrets/default/a"
SECRET = {"metadata": {"name": "a"}, "stringData": {"password": "correct horse"}}
ONE, TWO = bytes(range(32)), bytes(range(32, 64))
Document = dict[str, Any]


def provider(kind: str, **keys: bytes) -> Document:
    named = [{"name": name, "secret": base64.b64encode(key).decode()} for name, key in keys.items()]
    return {kind: {"keys": named}}


IDENTITY: Document = {"identity": {}}
GCM = provider("aesgcm", one=ONE)


def configured(*providers: Document, resources: tuple[str, ...] = ("secrets",)) -> Encryption:
    rule = {"resources": list(resources), "providers": list(providers)}
    return parse(document(rule))


def document(*rules: Document) -> Document:
    return {
        "kind": "EncryptionConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": list(rules),
    }


async def stored(store: MemoryStore, key: str = KEY) -> bytes:
    record = await store.get(key)
    assert record is not None
    assert record.value is not None
    return record.value


def test_the_store_has_upstreams_form_and_clients_have_the_object() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store, encryption=configured(GCM)) as api:
            (await api.post(SECRETS, SECRET)).ok()
            value = await stored(store)
            assert value.startswith(b"k8s:enc:aesgcm:v1:one:")
            opened = AESGCM(ONE).open(value.partition(b":one:")[2], KEY.encode())
            assert base64.b64encode(b"correct horse") in opened
            (await api.post("/api/v1/namespaces/default/configmaps", SECRET)).ok()
            assert (await stored(store, "/core/configmaps/default/a")).startswith(b"{")
            found = (await api.get(f"{SECRETS}/a")).ok()
            assert base64.b64decode(found["data"]["password"]) == b"correct horse"
            revision = found["metadata"]["resourceVersion"]
            exact = {"resourceVersion": revision, "resourceVersionMatch": "Exact"}
            assert (await api.get(SECRETS, **exact)).names == ["a"]
        async with serving(world, store, encryption=configured(IDENTITY, GCM)) as api:
            assert (await api.get(f"{SECRETS}/a")).ok()["data"] == found["data"]

    simulate(0, main)


def test_no_file_of_the_store_holds_what_is_secret(tmp_path: Path) -> None:
    async def main() -> None:
        inner = await open_sqlite(tmp_path, world=RealWorld(), on_fatal=fatal)
        store = SealedStore(inner, configured(GCM))
        for turn in range(3):
            await store.commit(Write(KEY, b"correct horse %d" % turn))
        assert b"correct horse" not in b"".join(files(tmp_path))
        await store.commit(Write("/core/configmaps/default/a", b"in the open"))
        assert b"in the open" in b"".join(files(tmp_path))
        await store.close()
        assert b"correct horse" not in b"".join(files(tmp_path))

    asyncio.run(main())


def fatal(error: BaseException) -> None:
    raise error


def files(path: Path) -> Iterator[bytes]:
    found = [one for one in path.rglob("*") if one.is_file()]
    assert found
    for one in found:
        yield one.read_bytes()


async def replaced(api: Served) -> str:
    """Does what `kubectl get -o json | kubectl replace -f -` does; returns the revision."""
    found = (await api.get(f"{SECRETS}/a")).ok()
    made = (await api.put(f"{SECRETS}/a", found)).ok()
    revision: str = made["metadata"]["resourceVersion"]
    return revision


def test_a_replace_seals_anew_by_the_first_key_and_once() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            first = (await api.post(SECRETS, SECRET)).ok()["metadata"]["resourceVersion"]
            assert await replaced(api) == first
        steps = [
            (configured(GCM, IDENTITY), b"k8s:enc:aesgcm:v1:one:"),
            (configured(provider("aesgcm", two=TWO, one=ONE)), b"k8s:enc:aesgcm:v1:two:"),
            (
                configured(provider("aescbc", one=ONE), provider("aesgcm", two=TWO)),
                b"k8s:enc:aescbc:v1:one:",
            ),
            (configured(IDENTITY, provider("aescbc", one=ONE)), b"{"),
        ]
        for encryption, wanted in steps:
            async with serving(world, store, encryption=encryption) as api:
                assert not (await stored(store)).startswith(wanted)
                second = await replaced(api)
                assert second != first
                assert (await stored(store)).startswith(wanted)
                assert await replaced(api) == second
                first = second

    simulate(0, main)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ((), "no matching prefix found"),
        ((IDENTITY,), "no matching prefix found"),
        ((provider("aescbc", one=ONE),), "no matching prefix found"),
        (
            (provider("aesgcm", two=TWO),),
            "no matching key was found for the provided AES transformer",
        ),
        ((provider("aesgcm", one=TWO),), "cipher: message authentication failed"),
    ],
)
def test_what_cannot_be_opened_is_told_and_the_rest_is_served(
    now: tuple[Document, ...], why: str
) -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store, encryption=configured(GCM)) as api:
            (await api.post(SECRETS, SECRET)).ok()
        encryption = configured(*now) if now else None
        async with serving(world, store, encryption=encryption) as api:
            for answer in (
                await api.get(f"{SECRETS}/a"),
                await api.put(f"{SECRETS}/a", SECRET),
                await api.patch(f"{SECRETS}/a", {}),
                await api.delete(f"{SECRETS}/a"),
            ):
                assert (answer.code, answer.document["reason"]) == (500, "InternalError")
                assert answer.message == f"Internal error occurred: {why}"
            for answer in (
                await api.get(SECRETS),
                await api.get("/api/v1/secrets"),
                await api.delete(SECRETS),
                await api.refused_watch(SECRETS),
            ):
                assert answer.code == 500
                assert answer.message == (
                    "Internal error occurred: unable to transform key "
                    f'"/registry/secrets/default/a": {why}'
                )
            assert (await api.post(SECRETS, SECRET)).document["reason"] == "AlreadyExists"
            assert (await api.get("/api/v1/namespaces/kube-system/secrets")).code == 200
            assert (await api.get("/api/v1/namespaces/default/configmaps")).code == 200
            other = {"metadata": {"name": "b"}}
            assert (await api.post(SECRETS, other)).code == 201
            assert (await api.get(f"{SECRETS}/b")).code == 200

    simulate(0, main)


def test_a_conflict_tells_the_value_that_was_opened() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = SealedStore(MemoryStore(world), configured(GCM))
        await store.commit(Write(KEY, b"plain", 0))
        with pytest.raises(Conflict) as raised:
            await store.commit(Write(KEY, b"other", 0))
        assert raised.value.current is not None
        assert raised.value.current.value == b"plain"
        found = await store.get(KEY)
        assert found is not None
        assert found.value == b"plain"

    simulate(0, main)


@pytest.mark.parametrize("cipher", [AESGCM(ONE), AESCBC(ONE)])
def test_a_cipher_opens_what_it_sealed_and_each_time_in_another_form(cipher: Cipher) -> None:
    for size in (0, 1, 15, 16, 17, 4096):
        value = bytes(size)
        sealed = cipher.seal(value, b"name")
        assert sealed != cipher.seal(value, b"name")
        assert cipher.open(sealed, b"name") == value
    with pytest.raises(Unreadable, match="shorter than the required size"):
        cipher.open(b"short", b"name")


def test_a_value_that_was_moved_or_changed_is_not_opened() -> None:
    cipher = AESGCM(ONE)
    sealed = cipher.seal(b"value", b"name")
    with pytest.raises(Unreadable, match="message authentication failed"):
        cipher.open(sealed, b"another")
    with pytest.raises(Unreadable, match="message authentication failed"):
        cipher.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), b"name")


def test_padding_that_is_none_is_refused() -> None:
    cipher = AESCBC(ONE)
    with pytest.raises(Unreadable, match="not a multiple of the block size"):
        cipher.open(bytes(17), b"")
    with pytest.raises(Unreadable, match="PKCS7"):
        cipher.open(bytes(16), b"")


def test_resources_are_found_by_name_by_group_and_all_together() -> None:
    names = ("deployments.apps", "*.batch", "*.")
    encryption = configured(GCM, resources=names)
    sealed = [
        key
        for key in ("core/secrets", "apps/deployments", "apps/replicasets", "batch/jobs", "x.io/y")
        if is_sealed(encryption, f"/{key}/default/a")
    ]
    assert sealed == ["core/secrets", "apps/deployments", "batch/jobs"]
    assert is_sealed(configured(GCM, resources=("*.*",)), "/x.io/y/default/a")
    own = {"resources": ["secrets"], "providers": [IDENTITY]}
    rest = {"resources": ["*.*"], "providers": [GCM]}
    both = parse(document(own, rest))
    assert not is_sealed(both, KEY)
    assert is_sealed(both, "/core/configmaps/default/a")


def is_sealed(encryption: Encryption, key: str) -> bool:
    async def main(world: SimulatedWorld) -> bytes:
        store = MemoryStore(world)
        await SealedStore(store, encryption).commit(Write(key, b"{}"))
        return await stored(store, key)

    value: bytes = simulate(0, main)
    return value.startswith(b"k8s:enc:")


TOO_SHORT = base64.b64encode(bytes(5)).decode()
PATH = "resources[0].providers[0]"
LENGTH = "secret is not of the expected length, got 5, expected one of"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            {"resources": [], "providers": [IDENTITY]},
            "resources[0].resources: Required value: at least one resources[0].resources is "
            "required",
        ),
        (
            {"resources": ["secrets"]},
            "resources[0].providers: Required value: at least one resources[0].providers is "
            "required",
        ),
        ({"resources": ["Secrets"]}, "resource name should not contain capital letters"),
        ({"resources": ["*"]}, "use '*.' to encrypt all the resources from core API group or"),
        ({"resources": ["events.events.k8s.io"]}, "Use 'events' instead in the config file"),
        ({"resources": ["ingresses.extensions"]}, "'extensions' group has been removed and"),
        ({"resources": ["secrets.*"]}, "encrypting the same resource across groups is not"),
        ({"resources": ["serviceipallocations"]}, "resources which do not have REST API/s cannot"),
        ({"resources": ["secrets", "secrets"]}, "the same resource cannot be specified multiple"),
        ({"resources": ["secrets", "*."]}, "using overlapping resources such as 'secrets' and"),
        ({"resources": ["a.b", "*.*"]}, "using overlapping resources such as 'secrets' and"),
        ({"providers": [{}]}, f"{PATH}: Invalid value: provider does not contain any of the"),
        ({"providers": [{**GCM, **IDENTITY}]}, f"{PATH}: Invalid value: more than one provider"),
        (
            {"providers": [{"kms": {"name": "a", "endpoint": "unix:///a"}}]},
            f"{PATH}.kms.apiVersion: KMSv1 is deprecated",
        ),
        (
            {"providers": [{"aesgcm": {}}]},
            f"{PATH}.aesgcm.keys: Required value: at least one keys is required",
        ),
        (
            {"providers": [{"aesgcm": {"keys": [{"secret": TOO_SHORT}]}}]},
            f"[{PATH}.aesgcm.keys[0].name: Required value: name is a mandatory field for a key, "
            f'{PATH}.aesgcm.keys[0].secret: Invalid value: "REDACTED": {LENGTH} [16 24 32]]',
        ),
        (
            {"providers": [{"secretbox": {"keys": [{"name": "a", "secret": TOO_SHORT}]}}]},
            f'{PATH}.secretbox.keys[0].secret: Invalid value: "REDACTED": {LENGTH} [32]',
        ),
        (
            {"providers": [{"aescbc": {"keys": [{"name": "a", "secret": "?"}]}}]},
            f'{PATH}.aescbc.keys[0].secret: Invalid value: "REDACTED": secrets must be base64',
        ),
        (
            {"providers": [{"aescbc": {"keys": [{"name": "a"}]}}]},
            f"{PATH}.aescbc.keys[0].secret: Required value: secret is a mandatory field for a key",
        ),
        ({"colour": "red"}, "Object contains unknown field `colour`"),
    ],
)
def test_a_bad_configuration_is_told_in_upstreams_words(rule: Document, problem: str) -> None:
    whole = rule if "colour" in rule else {"resources": ["secrets"], "providers": [GCM], **rule}
    if problem.startswith("resources[0].providers: "):
        whole = rule
    with pytest.raises(ValueError, match=r"\w") as raised:
        parse(document(whole))
    assert problem in str(raised.value)
    assert TOO_SHORT not in str(raised.value)


def test_a_rule_that_an_earlier_one_masks_is_refused() -> None:
    for earlier, later, shown in (
        ("*.", "secrets", '"secrets" is masked by earlier rule "*."'),
        ("*.*", "jobs.batch", '"jobs.batch" is masked by earlier rule "*.*"'),
    ):
        rules = [{"resources": [one], "providers": [GCM]} for one in (earlier, later)]
        with pytest.raises(ValueError, match="is masked by earlier rule") as raised:
            parse(document(*rules))
        assert str(raised.value) == f"resource {shown}"


def test_what_is_no_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="got unexpected config type"):
        parse({**document(), "kind": "Policy"})
    with pytest.raises(ValueError, match="resources: Required value: at least one resources is"):
        parse(document())


# The vector of NaCl's own tests (secretbox.out of its C test): key, nonce, sealed
NACL = (
    "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389",
    "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37",
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1"
    "186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548"
    "e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f65"
    "4cb45a74e355a5",
)


def test_secretbox_opens_what_nacl_sealed() -> None:
    pytest.importorskip("nacl", reason="PyNaCl is not installed here")
    key, nonce, sealed = map(bytes.fromhex, NACL)
    box = SecretBox(key)
    assert box.open(nonce + sealed, b"").startswith(
        bytes.fromhex("be075fc53c81f2d5cf141316ebeb0c7b")
    )
    assert box.open(box.seal(b"value", b""), b"") == b"value"
    with pytest.raises(Unreadable, match="shorter than the required size"):
        box.open(nonce, b"")
    with pytest.raises(Unreadable, match="not large enough"):
        box.open(nonce + sealed[:-1] + b"?", b"")


def test_secretbox_without_its_library_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.secret", None)
    with pytest.raises(ValueError, match="secretbox needs PyNaCl, which is not installed"):
        configured(provider("secretbox", one=ONE))


def test_a_configuration_that_is_read_again_seals_what_is_written_from_then_on() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            (await api.post(SECRETS, SECRET)).ok()
            assert not (await stored(store)).startswith(b"k8s:enc:")
            sealed = api.assembly.cache.store
            assert isinstance(sealed, SealedStore)
            sealed.use(configured(GCM, IDENTITY), [KEY, "/core/configmaps/default/a"])
            assert sealed.stale == {KEY}
            held = (await api.get(f"{SECRETS}/a")).ok()
            (await api.put(f"{SECRETS}/a", held)).ok()  # as a storage migration does
            assert (await stored(store)).startswith(b"k8s:enc:aesgcm:v1:one:")
            assert not sealed.stale
            two = provider("aesgcm", two=TWO, one=ONE)
            sealed.use(configured(two), [KEY])
            held = (await api.get(f"{SECRETS}/a")).ok()
            (await api.put(f"{SECRETS}/a", held)).ok()
            assert (await stored(store)).startswith(b"k8s:enc:aesgcm:v1:two:")
            sealed.use(configured(IDENTITY, two), [KEY, "/core/configmaps/default/a"])
            assert sealed.stale == {KEY}
            held = (await api.get(f"{SECRETS}/a")).ok()
            (await api.put(f"{SECRETS}/a", held)).ok()
            assert (await stored(store)).startswith(b"{")
            assert not sealed.stale

    simulate(1, main)
