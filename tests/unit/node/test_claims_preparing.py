"""Drivers of dynamic resource allocation over real sockets: what is made ready and taken back, in
which order, what is kept, and in which words things go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from node_documents import UID, pod

from dra_driver import PREPARE, UNPREPARE, DRADriver
from registrar import HANG, holds
from steersman.client.errors import Unreachable
from steersman.model.errors import Forbidden, NotFound
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.node.claims import drivers as drivers_module
from steersman.node.claims import slices as slices_module
from steersman.node.claims.access import Claims
from steersman.node.claims.interface import CannotPrepare, NoClaims
from steersman.node.claims.prepared import Prepared
from steersman.node.plugins.folder import Plugin, Refused
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import dra
from steersman.world.real import RealWorld

NAME = "gpu.example.com"
OTHER = "nic.example.com"


class API:
    """What the node asks of the API server: claims, and that slices be deleted."""

    def __init__(self) -> None:
        self.claims: dict[str, ResourceClaim] = {}
        self.fails: list[Exception] = []
        self.wiped: list[str] = []
        self.changed = asyncio.Event()

    async def get(self, ref: Any) -> ResourceClaim:
        if ref.name not in self.claims:
            raise NotFound(f'resourceclaims.resource.k8s.io "{ref.name}" not found')
        return self.claims[ref.name]

    async def delete_collection(self, kind: Any, namespace: str = "", **selected: Any) -> None:
        if self.fails:
            raise self.fails.pop(0)
        assert kind.name == "ResourceSlice"
        self.wiped.append(selected["fields"])
        self.changed.set()

    async def wipes(self, *fields: str) -> None:
        async with asyncio.timeout(20):
            while self.wiped != list(fields):
                self.changed.clear()
                await self.changed.wait()

    def claim(
        self, name: str, *drivers: str, pods: tuple[str, ...] = (UID,), **fields: Any
    ) -> ResourceClaim:
        """A claim that was allocated devices of drivers, and may be used by pods."""
        results = [{"driver": it, "pool": "p", "device": f"{name}-{it}"} for it in drivers]
        status: dict[str, Any] = {"reservedFor": [{"name": "web", "uid": it} for it in pods]}
        if drivers:
            status["allocation"] = {"devices": {"results": results}}
        metadata = {"namespace": "default", "name": name, "uid": f"uid-{name}", **fields}
        found = msgspec.convert({"metadata": metadata, "status": status}, ResourceClaim)
        self.claims[name] = found
        return found


class Here:
    """The claims of a node in a directory."""

    def __init__(self, api: API, claims: Claims, directory: Path) -> None:
        self.api = api
        self.claims = claims
        self.directory = directory

    @asynccontextmanager
    async def driver(self, name: str = NAME, **given: Any) -> AsyncIterator[DRADriver]:
        """A driver that is registered."""
        made = DRADriver(name, self.directory / name, **given)
        async with made.listening():
            await self.claims.drivers.register(made.plugin)
            await holds(lambda: self.claims.drivers.find(name).channel)
            yield made


@asynccontextmanager
async def node(directory: Path, api: API | None = None) -> AsyncIterator[Here]:
    world, api = RealWorld(), api or API()
    async with world.tasks() as tasks:
        client: Any = api
        yield Here(api, Claims(client, directory, "vm", world, tasks), directory)
        tasks.stop()


def on_a_node(directory: Path, test: Callable[[Here], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with node(directory) as here:
            await test(here)

    asyncio.run(main())


def using(*names: str, uid: str = UID, **fields: Any) -> Pod:
    """A pod whose container uses all its claims."""
    claims = [{"name": f"my-{it}", "resourceClaimName": it} for it in names]
    used = [{"name": it["name"]} for it in claims]
    spec = {"resourceClaims": claims}
    return pod(spec=spec, metadata={"uid": uid}, resources={"claims": used, **fields})


async def fails(work: Coroutine[Any, Any, None]) -> str:
    with pytest.raises(CannotPrepare) as caught:
        await work
    return str(caught.value)


def one(claim: dra.Claim, *requests: str) -> dra.Device:
    return dra.Device(requests, "p", "d", (f"{NAME}/gpu={claim.name}",))


def test_what_was_allocated_is_made_ready_once_and_taken_back(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        async with here.driver() as gpu, here.driver(OTHER) as nic:
            gpu.devices = lambda claim: (one(claim),)
            here.api.claim("a", NAME)
            here.api.claim("b", NAME, OTHER)
            wanted = using("a", "b")
            await here.claims.prepare(wanted)
            await here.claims.prepare(wanted)
            assert gpu.methods() == [(PREPARE, ["a", "b"])]
            assert nic.methods() == [(PREPARE, ["b"])]
            assert gpu.asked(PREPARE)[0].claims[0] == dra.Claim("default", "uid-a", "a")
            names = here.claims.cdi_names(wanted, wanted.spec.containers[0])
            assert names == [f"{NAME}/gpu=a", f"{NAME}/gpu=b"]
            (container,) = wanted.spec.containers
            assert [it.name for it in here.claims.of_container(wanted, container)] == ["a", "b"]
            await here.claims.unprepare(UID)
            await here.claims.unprepare(UID)
            assert gpu.methods()[1:] == [(UNPREPARE, ["a", "b"])]
            assert nic.methods()[1:] == [(UNPREPARE, ["b"])]

    on_a_node(tmp_path, test)


def test_a_claim_that_others_use_too_is_taken_back_after_the_last(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            here.api.claim("a", NAME, pods=(UID, "two"))
            await asyncio.gather(
                here.claims.prepare(using("a")), here.claims.prepare(using("a", uid="two"))
            )
            assert gpu.methods() == [(PREPARE, ["a"])]
            await here.claims.unprepare(UID)
            assert gpu.prepared == {"a"}
            await here.claims.unprepare("two")
            assert gpu.methods()[1:] == [(UNPREPARE, ["a"])]

    on_a_node(tmp_path, test)


def test_a_container_has_the_devices_of_the_requests_that_it_names(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            gpu.devices = lambda _: (
                dra.Device(("big",), "p", "1", (f"{NAME}/gpu=1",)),
                dra.Device(("small",), "p", "2", (f"{NAME}/gpu=2", f"{NAME}/more=2")),
                dra.Device((), "p", "3", (f"{NAME}/gpu=3",)),
            )
            here.api.claim("a", NAME)
            wanted = using("a")
            await here.claims.prepare(wanted)

            def names(*requests: str) -> list[str]:
                used = [{"name": "my-a", "request": it} for it in requests]
                container = pod(resources={"claims": used}).spec.containers[0]
                found = here.claims.cdi_names(wanted, container)
                return [it.removeprefix(f"{NAME}/") for it in found]

            assert names("big") == ["gpu=1", "gpu=3"]
            assert names("small/first") == ["gpu=2", "more=2", "gpu=3"]
            assert names("big", "small") == ["gpu=1", "gpu=3", "gpu=2", "more=2"]
            assert names("") == ["gpu=1", "gpu=2", "more=2", "gpu=3"]
            assert names() == []

    on_a_node(tmp_path, test)


def test_what_is_wrong_with_a_claim_is_said_and_no_driver_is_asked(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        api, start = here.api, "prepare dynamic resources: "
        text = await fails(here.claims.prepare(using("a")))
        assert text == (
            f'{start}fetch ResourceClaim a: resourceclaims.resource.k8s.io "a" not found'
        )
        api.claim("a", NAME, pods=("somebody",))
        assert await fails(here.claims.prepare(using("a"))) == (
            f"{start}pod web ({UID}) is not allowed to use ResourceClaim a (uid-a)"
        )
        api.claim("a")
        assert await fails(here.claims.prepare(using("a"))) == (
            f"{start}ResourceClaim a: not allocated"
        )
        api.claim("a", NAME)
        assert await fails(here.claims.prepare(using("a"))) == (
            f"{start}DRA driver {NAME} is not registered"
        )
        made = {"name": "c", "resourceClaimTemplateName": "t"}
        assert await fails(here.claims.prepare(pod(spec={"resourceClaims": [made]}))) == (
            f'{start}pod "default/web": ResourceClaim not created yet'
        )
        status = {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "a"}]}
        templated = pod(spec={"resourceClaims": [made]}, status=status)
        assert await fails(here.claims.prepare(templated)) == (
            f"{start}ResourceClaim default/a was not created for pod default/web (pod is not owner)"
        )
        # Nothing has to be taken back
        await here.claims.unprepare(UID)

    on_a_node(tmp_path, test)


def test_what_a_driver_answers_badly_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers_module, "CALL_SECONDS", 0.2)

    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            here.api.claim("a", NAME)
            start = "prepare dynamic resources: NodePrepareResources"
            gpu.errors["a"] = "no such card"
            text = await fails(here.claims.prepare(using("a")))
            assert text == f"{start} failed for ResourceClaim a: no such card"
            # It may have begun, and is known to be taken back
            noted = Prepared(tmp_path / "dra_manager_state").of_pod(UID)
            assert [it.name for it in noted] == ["a"]
            gpu.errors.clear()
            gpu.skips.add("a")
            text = await fails(here.claims.prepare(using("a")))
            assert text == f"{start} skipped 1 ResourceClaims"
            gpu.skips.clear()
            gpu.faults[PREPARE] = HANG
            text = await fails(here.claims.prepare(using("a")))
            why = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
            assert text == f"{start}: {why}"
            del gpu.faults[PREPARE]
            await here.claims.prepare(using("a"))
            start = "unprepare dynamic resources: NodeUnprepareResources"
            gpu.errors["a"] = "in use"
            text = await fails(here.claims.unprepare(UID))
            assert text == f"{start} failed for ResourceClaim a: in use"
            gpu.errors.clear()
            gpu.faults[UNPREPARE] = Failed(grpc.INTERNAL, "broken")
            text = await fails(here.claims.unprepare(UID))
            assert text == f"{start}: rpc error: code = Internal desc = broken"
            del gpu.faults[UNPREPARE]
            await here.claims.unprepare(UID)
            assert gpu.prepared == set()

    on_a_node(tmp_path, test)


def test_what_was_begun_is_known_to_the_next_agent(tmp_path: Path) -> None:
    async def main() -> None:
        api = API()
        api.claim("a", NAME)
        async with node(tmp_path, api) as here, here.driver() as gpu:
            gpu.devices = lambda claim: (one(claim),)
            await here.claims.prepare(using("a"))
        async with node(tmp_path, api) as here:
            wanted = using("a")
            names = here.claims.cdi_names(wanted, wanted.spec.containers[0])
            assert names == [f"{NAME}/gpu=a"]
            assert await fails(here.claims.unprepare(UID)) == (
                f"unprepare dynamic resources: DRA driver {NAME} is not registered"
            )
            # Another claim of that name is not this one
            api.claim("a", NAME, uid="another")
            async with here.driver() as gpu:
                assert await fails(here.claims.prepare(using("a", uid="two"))) == (
                    "prepare dynamic resources: pod web (two) is not allowed to use ResourceClaim "
                    "a (another)"
                )
                api.claim("a", NAME, uid="another", pods=("two",))
                assert await fails(here.claims.prepare(using("a", uid="two"))) == (
                    "prepare dynamic resources: old ResourceClaim with same name a and different "
                    "UID uid-a still exists (previous pod force-deleted?!)"
                )
                await here.claims.unprepare(UID)
                await here.claims.prepare(using("a", uid="two"))
                assert gpu.methods() == [(UNPREPARE, ["a"]), (PREPARE, ["a"])]

    asyncio.run(main())


def test_a_driver_says_which_services_it_has(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        here.api.claim("a", NAME)
        async with here.driver(versions=("v9.DRAPlugin", "v1beta1.DRAPlugin")) as gpu:
            await here.claims.prepare(using("a"))
            assert gpu.methods() == [(PREPARE, ["a"])]
            with pytest.raises(Refused) as caught:
                await here.claims.drivers.register(gpu.plugin)
            assert str(caught.value) == (
                f"endpoint {gpu.socket} already registered for DRA driver plugin {NAME}"
            )
        start = f"invalid supported gRPC versions of DRA driver plugin {NAME} at endpoint /x: "
        for versions, why in (
            ((), "empty list of supported gRPC services (aka supported versions)"),
            (
                ("v9.A", "1.0"),
                'none of services supported by the plugin (["v9.A" "1.0"]) are supported by the '
                'kubelet (["v1.DRAPlugin" "v1beta1.DRAPlugin"])',
            ),
        ):
            with pytest.raises(Refused) as caught:
                found = Plugin("DRAPlugin", NAME, Path("/x"), versions)
                await here.claims.drivers.register(found)
            assert str(caught.value) == start + why

    on_a_node(tmp_path, test)


def test_of_two_plugins_of_a_driver_the_last_that_can_be_reached_is_called(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        here.api.claim("a", NAME)
        second = DRADriver(NAME, tmp_path / "second")
        async with here.driver() as first:
            async with second.listening():
                await here.claims.drivers.register(second.plugin)
                await holds(lambda: here.claims.drivers.find(NAME).socket == second.socket)
                await here.claims.prepare(using("a"))
                assert (first.methods(), second.methods()) == ([], [(PREPARE, ["a"])])
            await holds(lambda: here.claims.drivers.find(NAME).socket == first.socket)
            await here.claims.unprepare(UID)
            assert first.methods() == [(UNPREPARE, ["a"])]

    on_a_node(tmp_path, test)


def test_slices_go_at_the_start_and_when_a_driver_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices_module, "WIPING_SECONDS", 0.05)
    monkeypatch.setattr(slices_module, "FIRST_RETRY_SECONDS", 0.01)

    async def test(here: Here) -> None:
        here.api.fails = [Unreachable("away"), Forbidden("not yet")]
        await here.claims.run()
        of_all, of_one = "spec.nodeName=vm", f"spec.nodeName=vm,spec.driver={NAME}"
        assert here.api.wiped == [of_all]
        async with here.driver() as gpu:
            pass
        await here.api.wipes(of_all, of_one)
        await here.claims.drivers.unregister(gpu.plugin)
        await here.api.wipes(of_all, of_one, of_one)

    on_a_node(tmp_path, test)


def test_a_driver_that_comes_back_in_time_keeps_its_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers_module, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(slices_module, "WIPING_SECONDS", 0.3)

    async def test(here: Here) -> None:
        async with here.driver() as gpu:
            pass
        async with gpu.listening():
            await holds(lambda: here.claims.drivers.find(NAME).channel)
            # One that was gone for longer would have lost them by now
            async with here.driver(OTHER):
                pass
            await here.api.wipes(f"spec.nodeName=vm,spec.driver={OTHER}")

    on_a_node(tmp_path, test)


def test_the_health_of_devices_is_told_as_long_as_it_holds(tmp_path: Path) -> None:
    async def test(here: Here) -> None:
        told: list[set[str]] = []
        changed = asyncio.Event()

        def hear(pods: Any) -> None:
            told.append(set(pods))
            changed.set()

        here.claims.changed = hear
        made = DRADriver(NAME, tmp_path / NAME)
        made.tells_health = True
        made.devices = lambda claim: (one(claim, "r"), dra.Device((), "p", "e"))
        here.api.claim("a", NAME)
        wanted = using("a")

        def health() -> Any:
            return here.claims.health(wanted, wanted.spec.containers[0])

        async def until(*resources: dict[str, str]) -> None:
            async with asyncio.timeout(20):
                while health() != [{"name": "claim:my-a", "resources": list(resources)}]:
                    changed.clear()
                    await changed.wait()

        assert health() == []
        gpu, other = f"{NAME}/gpu=a", f"{NAME}/p/e"
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(made.listening())
            await here.claims.drivers.register(made.plugin)
            await here.claims.prepare(wanted)
            unknown = {"resourceID": other, "health": "Unknown"}
            assert health()[0]["resources"][1] == unknown
            device = dra.DeviceIdentifier("p", "d")
            made.tell(dra.DeviceHealth(device, 2, 0, 0, "too hot"))
            await until({"resourceID": gpu, "health": "Unhealthy", "message": "too hot"}, unknown)
            assert told[-1] == {UID}
            made.tell(dra.DeviceHealth(device, 1, 0, 1))
            await until({"resourceID": gpu, "health": "Healthy"}, unknown)
            # It does not say so again within a second
            await until({"resourceID": gpu, "health": "Unknown"}, unknown)
            made.tell(dra.DeviceHealth(device, 1))
            await until({"resourceID": gpu, "health": "Healthy"}, unknown)
        await until({"resourceID": gpu, "health": "Unknown"}, unknown)

    on_a_node(tmp_path, test)


def test_a_node_without_drivers_refuses_pods_with_claims() -> None:
    async def main() -> None:
        nobody = NoClaims()
        await nobody.prepare(pod())
        text = await fails(nobody.prepare(using("a")))
        assert text == "prepare dynamic resources: this node prepares no devices"

    asyncio.run(main())
