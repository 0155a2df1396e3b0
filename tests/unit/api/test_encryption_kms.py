"""Encryption with keys that a plugin keeps (KMS v2): upstream's stored form, change of keys, what
happens while the plugin is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from hooks import Clock
from kms_plugin import HINT, KMSPlugin
from served import Served, prepare, serving
from steersman.api.encryption import kms as kms_provider
from steersman.api.encryption.ciphers import SeededGCM, Unreadable
from steersman.api.encryption.configuration import Encryption, parse
from steersman.api.encryption.kms import COAST_SECONDS, KMS, problem
from steersman.api.encryption.kms_settings import KMSSettings
from steersman.cluster.kms_plugins import KMSPlugins
from steersman.model.errors import InternalError
from steersman.store.memory import MemoryStore
from steersman.wire.rpc import kms
from steersman.wire.rpc.messages import decode, encode

SECRETS = "/api/v1/namespaces/default/secrets"
KEY = "/core/secrets/default/a"
SECRET = {"metadata": {"name": "a"}, "stringData": {"password": "correct horse"}}
PREFIX = b"k8s:enc:kms:v2:vault:"
Document = dict[str, Any]


def configured(socket: Path | str, *more: Document, **kms_: Any) -> Encryption:
    endpoint = f"unix://{socket}"
    provider = {"apiVersion": "v2", "name": "vault", "endpoint": endpoint, **kms_}
    rule = {"resources": ["secrets"], "providers": [{"kms": provider}, *more]}
    return parse(document(rule))


def document(*rules: Document) -> Document:
    return {
        "kind": "EncryptionConfiguration",
        "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": list(rules),
    }


def run(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await case()

    uvloop.run(bounded())


@asynccontextmanager
async def ready(encryption: Encryption, world: Clock) -> AsyncIterator[KMS]:
    """Yields the one plugin of a configuration, which has begun."""
    (plugin,) = encryption.plugins
    assert isinstance(plugin, KMS)
    plugin.begin(world)
    try:
        yield plugin
    finally:
        plugin.close()


async def stored(store: MemoryStore, key: str = KEY) -> bytes:
    record = await store.get(key)
    assert record is not None and record.value is not None
    return record.value


def test_the_store_has_upstreams_form_and_another_server_reads_it(tmp_path: Path) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    async def case() -> None:
        world = Clock()
        store = MemoryStore(world)
        async with vault.serving(socket, world):
            encryption = configured(socket)
            async with ready(encryption, world):
                assert await encryption.health() == ""
                async with serving(world, store, encryption=encryption) as api:
                    await prepare(api)
                    (await api.post(SECRETS, SECRET)).ok()
            assert vault.asked == ["Status", "Encrypt"]
            value = await stored(store)
            assert value.startswith(PREFIX) and b"horse" not in value
            check_form(value)
            again = configured(socket)
            async with ready(again, world):
                assert await again.health() == ""
                async with serving(world, store, encryption=again) as api:
                    found = (await api.get(f"{SECRETS}/a")).ok()
                    assert found["data"] == {"password": "Y29ycmVjdCBob3JzZQ=="}
            assert vault.asked[2:] == ["Status", "Encrypt", "Decrypt"]
            assert len(set(vault.uids)) == 3

    run(case)


def check_form(value: bytes) -> None:
    """Opens a value as apiserver does, without what is tested here."""
    found = decode(kms.EncryptedObject, value[len(PREFIX) :])
    assert (found.key_id, found.annotations) == ("key-1", {HINT: b"key-1"})
    assert found.encrypted_dek_source_type == 1
    seed = found.encrypted_dek_source.partition(b"|")[2][::-1]
    info, nonce, sealed = (
        found.encrypted_data[:32],
        found.encrypted_data[32:44],
        found.encrypted_data[44:],
    )
    derived = HKDFExpand(SHA256(), 32, info).derive(seed)
    plain = AESGCM(derived).decrypt(nonce, sealed, KEY.encode())
    assert b"Y29ycmVjdCBob3JzZQ==" in plain


class Sleeper(Clock):
    """Sleeps until a test wakes it; a minute and a bit have passed then."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = asyncio.Event()
        self._woken = asyncio.Event()

    async def wire_sleep(self, seconds: float) -> None:
        self.slept.set()
        await self._woken.wait()
        self._woken.clear()
        self.passed += 61

    async def wake(self) -> None:
        """Lets it go on until it sleeps again."""
        self.slept.clear()
        self._woken.set()
        await self.slept.wait()


def test_a_key_that_changes_is_taken_and_what_is_there_is_written_anew_once(
    tmp_path: Path,
) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    async def case() -> None:
        world, sleeper = Clock(), Sleeper()
        store = MemoryStore(world)
        encryption = configured(socket)
        async with (
            vault.serving(socket, world),
            ready(encryption, sleeper) as plugin,
            serving_sealed(world, store, encryption) as (api, plugins),
        ):
            (await api.post(SECRETS, SECRET)).ok()
            first = await stored(store)
            asked = (await api.get(f"{SECRETS}/a")).ok()
            assert (await api.put(f"{SECRETS}/a", asked)).ok() == asked
            assert await stored(store) == first
            async with world.tasks() as tasks:
                plugins.follow(tasks, lambda: [KEY])
                await sleeper.slept.wait()
                vault.key_id = "key-2"
                await sleeper.wake()
                tasks.stop()
            changed = (await api.put(f"{SECRETS}/a", asked)).ok()
            value = await stored(store)
            assert decode(kms.EncryptedObject, value[len(PREFIX) :]).key_id == "key-2"
            assert (await api.put(f"{SECRETS}/a", changed)).ok() == changed
            assert await stored(store) == value
            assert plugin.open(first, KEY.encode()).stale
            assert not plugin.open(value, KEY.encode()).stale

    run(case)


@asynccontextmanager
async def serving_sealed(
    world: Clock, store: MemoryStore, encryption: Encryption
) -> AsyncIterator[tuple[Served, KMSPlugins]]:
    async with serving(world, store, encryption=encryption) as api:
        plugins = KMSPlugins(api.assembly.cache.store, encryption, world)  # type: ignore[arg-type]
        assert await plugins.health() == ""
        await prepare(api)
        yield api, plugins


def test_whoever_follows_a_plugin_is_told_when_its_key_changes(tmp_path: Path) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"
    told: list[str] = []

    class Hasty(Clock):
        """Lets the plugin be asked again at once, as often as a test says."""

        turns = 0

        async def wire_sleep(self, seconds: float) -> None:
            self.passed += seconds
            self.turns += 1
            waits.append(seconds)
            if self.turns == 2:
                vault.key_id = "key-2"
            if self.turns == 3:
                vault.down = True
            if self.turns >= 5:
                over.set()
                await asyncio.Event().wait()

    waits: list[float] = []
    over = asyncio.Event()

    async def case() -> None:
        world = Hasty()
        async with vault.serving(socket, world), ready(configured(socket), world) as plugin:
            following = asyncio.create_task(plugin.run(lambda: told.append("rotated")))
            await over.wait()
            following.cancel()

    run(case)
    assert told == ["rotated"]
    assert waits == [60.0, 60.0, 60.0, 10.0, 10.0]


def test_a_plugin_that_is_away_lets_the_last_seed_live_for_three_minutes(tmp_path: Path) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    async def case() -> None:
        world = Clock()
        async with vault.serving(socket, world), ready(configured(socket), world) as plugin:
            with pytest.raises(InternalError, match="got unexpected nil transformer"):
                plugin.seal(b"x", b"n")
            assert await plugin.health() == ""
            vault.down = True
            world.passed += COAST_SECONDS - 1
            wrong = await plugin.health()
            assert wrong == (
                "failed to perform status section of the healthz check for KMS Provider vault, "
                "error: rpc error: code = Unavailable desc = the vault is shut"
            )
            assert plugin.open(plugin.seal(b"x", b"n"), b"n") == (b"x", False)
            world.passed += 2
            with pytest.raises(InternalError, match=r'keyID hash "sha256:[0-9a-f]{64}" expired at'):
                plugin.seal(b"x", b"n")
            vault.down = False
            world.passed += 4
            assert await plugin.health() == ""
            assert plugin.open(plugin.seal(b"x", b"n"), b"n").value == b"x"
            assert vault.asked.count("Encrypt") == 1, "the key is the same, so is the seed"

    run(case)


def test_its_health_is_asked_for_at_most_every_twenty_or_three_seconds(tmp_path: Path) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    async def case() -> None:
        world = Clock()
        async with vault.serving(socket, world), ready(configured(socket), world) as plugin:
            for passed, status, asked in ((0, "ok", 1), (19, "ill", 1), (2, "ill", 2),
                                          (2, "ok", 2), (2, "ok", 3)):  # fmt: skip
                world.passed += passed
                vault.health = status
                await plugin.health()
                assert vault.asked.count("Status") == asked

    run(case)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"health": "ill"}, "got unexpected healthz status: ill"),
        ({"version": "v1"}, "expected KMSv2 API version v2, got v1"),
        ({"version": "v2beta1"}, "KMSv2 API version should not change after the initial status "
                                 "response version v2, got v2beta1"),
        ({"key_id": ""}, 'got invalid KMSv2 KeyID hash "": keyID is empty'),
        ({"key_id": "k" * 1025}, "keyID is 1025 bytes, which exceeds the max size of 1024"),
        ({"key_id": "key-2", "sealing_by": "key-3"}, "failed to rotate DEK errGen=<nil>, "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plugin_is_told(tmp_path: Path, change: Any, told: str) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    async def case() -> None:
        world = Clock()
        async with vault.serving(socket, world), ready(configured(socket), world) as plugin:
            assert await plugin.health() == ""
            before = plugin.seal(b"x", b"n")
            world.passed += 21
            for name, value in change.items():
                setattr(vault, name, value)
            wrong = await plugin.health()
            assert wrong.startswith("kmsv2 Provider vault is not healthy, error: ")
            assert told in wrong
            assert plugin.open(before, b"n") == (b"x", False)

    run(case)


def test_what_was_sealed_is_told_of_while_its_plugin_is_away_and_seen_once_it_is_back(
    tmp_path: Path,
) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    async def case() -> None:
        world = Clock()
        store = MemoryStore(world)
        async with vault.serving(socket, world):
            first = configured(socket)
            async with ready(first, world):
                await first.health()
                async with serving(world, store, encryption=first) as api:
                    await prepare(api)
                    (await api.post(SECRETS, SECRET)).ok()
            vault.down = True
            second = configured(socket)
            async with ready(second, world) as plugin:
                async with serving(world, store, encryption=second) as api:
                    answer = await api.get(f"{SECRETS}/a")
                    assert (answer.code, answer.message) == (
                        500,
                        "Internal error occurred: failed to decrypt DEK, error: rpc error: "
                        "code = Unavailable desc = the vault is shut",
                    )
                    other = {**SECRET, "metadata": {"name": "b"}}
                    refused = await api.post(SECRETS, other)
                    assert (refused.code, refused.document["reason"]) == (500, "InternalError")
                vault.down = False
                count = len(vault.asked)
                value = await stored(store)
                await plugin.fetch(value)
                assert len(vault.asked) == count, "it is not asked again at once"
                world.passed += 4
                await plugin.fetch(value)
                await plugin.fetch(value)
                assert vault.asked[count:] == ["Decrypt"]
                assert b"Y29ycmVjdCBob3JzZQ==" in plugin.open(value, KEY.encode()).value

    run(case)


def test_the_server_waits_for_its_plugin_though_not_for_ever(tmp_path: Path) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"

    class Hasty(Clock):
        """Lets time pass at once; the plugin comes after some of it."""

        def __init__(self, comes_after: float) -> None:
            super().__init__()
            self.comes_after = comes_after

        async def wire_sleep(self, seconds: float) -> None:
            self.passed += seconds
            vault.down = self.passed < self.comes_after

    async def waits(comes_after: float) -> tuple[str, float]:
        world = Hasty(comes_after)
        vault.down = True
        async with vault.serving(socket, world):
            plugins = KMSPlugins(None, configured(socket), world)  # type: ignore[arg-type]
            await plugins.begin()
            world.passed += 21
            wrong = await plugins.health()
            plugins.close()
            return wrong, world.passed

    async def case() -> None:
        assert (await waits(5))[0] == ""
        wrong, passed = await waits(1000)
        assert wrong.startswith("kms-provider-0: failed to perform status section")
        assert passed < 50

    run(case)


def test_an_older_value_is_sealed_by_the_plugins_key_itself(tmp_path: Path) -> None:
    """As apiserver did before 1.28: no seed, and so to be written anew."""
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"
    key, nonce = b"k" * 32, b"n" * 12
    data = nonce + AESGCM(key).encrypt(nonce, b"plain", b"name")
    old = kms.EncryptedObject(data, "key-1", b"key-1|" + key[::-1], {HINT: b"key-1"}, 0)

    async def case() -> None:
        world = Clock()
        async with vault.serving(socket, world), ready(configured(socket), world) as plugin:
            await plugin.health()
            value = PREFIX + encode(old)
            await plugin.fetch(value)
            assert plugin.open(value, b"name") == (b"plain", True)

    run(case)


def test_a_seed_gives_every_value_a_key_of_its_own() -> None:
    cipher = SeededGCM(b"s" * 32)
    one, two = cipher.seal(b"value", b"a"), cipher.seal(b"value", b"a")
    assert one[:32] != two[:32] and one[44:] != two[44:]
    assert cipher.open(one, b"a") == cipher.open(two, b"a") == b"value"
    for bad, name in ((one, b"b"), (one[:31], b"a"), (two[:32] + one[32:], b"a")):
        with pytest.raises(Unreadable):
            cipher.open(bad, name)


GOOD = kms.EncryptedObject(b"x", "key", b"y", {"a.b": b"z"}, 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"encrypted_dek_source_type": 2}, "unknown encryptedDEKSourceType: 2"),
        ({"encrypted_data": b""}, "encrypted data is empty"),
        ({"encrypted_dek_source": b""},
         "failed to validate encrypted DEK source: encrypted DEK source is empty"),
        ({"encrypted_dek_source": b"x" * 1025},
         "failed to validate encrypted DEK source: encrypted DEK source is 1025 bytes, which "
         "exceeds the max size of 1024"),
        ({"key_id": ""}, "failed to validate key id: keyID is empty"),
        ({"annotations": {"a": b""}},
         'failed to validate annotations: annotations: Invalid value: "a": should be a domain '
         "with at least two segments separated by dots"),
        ({"annotations": {"a.b": b"x" * 32768}},
         "failed to validate annotations: total size of annotations is 32771, which exceeds the "
         "max size of 32768"),
    ],
)  # fmt: skip
def test_a_stored_value_is_checked(change: Document, told: str) -> None:
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__}
    assert problem(kms.EncryptedObject(**{**fields, **change})) == told


def test_values_that_are_none_are_not_opened(tmp_path: Path) -> None:
    async def case() -> None:
        async with ready(configured(tmp_path / "none"), Clock()) as plugin:
            for bad in (b"", b"\xff", encode(kms.EncryptedObject())):
                await plugin.fetch(PREFIX + bad)
                with pytest.raises(Unreadable):
                    plugin.open(PREFIX + bad, b"n")

    run(case)


PATH = "resources[0].providers[0].kms"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": ""}, f"{PATH}.name: Required value: name is a mandatory field for a provider"),
        ({"name": "a:b"}, f'{PATH}.name: Invalid value: "a:b": invalid KMS provider name a:b, must '
                          "not contain ':'"),
        ({"endpoint": ""}, f'{PATH}.endpoint: Invalid value: "": endpoint is a mandatory field for '
                           "a kms"),
        ({"endpoint": "tcp://a"}, f'{PATH}.endpoint: Invalid value: "tcp://a": unsupported scheme '
                                  '"tcp" for KMS provider, only unix is supported'),
        ({"timeout": "0s"}, f'{PATH}.timeout: Invalid value: "0s": timeout should be a positive '
                            "value"),
        ({"timeout": "x"}, f"{PATH}.timeout: Invalid value: \"x\": 'x' is no duration: it is "
                           "written as in 3d, 12h30m or 90s"),
        ({"cachesize": 5}, f"{PATH}.cachesize: Invalid value: 5: cachesize is not supported in v2"),
        ({"apiVersion": "v3"}, f'{PATH}.apiVersion: Invalid value: "v3": unsupported apiVersion '
                               "apiVersion for KMS provider, only v1 and v2 are supported"),
        ({"apiVersion": ""}, f"{PATH}.apiVersion: KMSv1 is deprecated and will only receive "
                             "security updates going forward. Use KMSv2 instead.  Set "
                             "--feature-gates=KMSv1=true to use the deprecated KMSv1 feature."),
    ],
)  # fmt: skip
def test_a_bad_configuration_is_told_in_upstreams_words(given: Document, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        configured("/run/kms.sock", **given)
    assert str(raised.value) == told


def test_two_plugins_have_two_names() -> None:
    one = {"kms": {"apiVersion": "v2", "name": "a", "endpoint": "unix:///a"}}
    rules = ({"resources": [name], "providers": [one]} for name in ("secrets", "configmaps"))
    with pytest.raises(ValueError, match="duplicate KMS provider name a, names must be unique"):
        parse(document(*rules))


def test_a_socket_may_be_one_without_a_file() -> None:
    assert KMSSettings(endpoint="unix:///@kms").socket == "\0kms"
    assert KMSSettings(endpoint="unix:///run/kms.sock").socket == "/run/kms.sock"
    assert KMSSettings().seconds == 3.0


def test_few_seeds_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault, socket = KMSPlugin(), tmp_path / "kms.sock"
    monkeypatch.setattr(kms_provider, "MOST_SEEDS", 2)

    def value(number: int) -> bytes:
        seed = bytes([number]) * 32
        sealed = SeededGCM(seed).seal(b"v", b"n")
        found = kms.EncryptedObject(sealed, "key-1", b"key-1|" + seed, {HINT: b"key-1"}, 1)
        return PREFIX + encode(found)

    async def case() -> None:
        world = Clock()
        async with vault.serving(socket, world), ready(configured(socket), world) as plugin:
            for number in (1, 2, 1, 3, 1, 2):
                await plugin.fetch(value(number))
                assert plugin.open(value(number), b"n").value == b"v"
            assert vault.asked == ["Decrypt"] * 4, "1 was used last when 3 came, 2 was forgotten"

    run(case)
