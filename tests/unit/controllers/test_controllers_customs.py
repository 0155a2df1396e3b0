"""Namespace deletion, garbage collection and quotas find custom resources, whenever their kinds
came, and nothing is taken for unused or gone that copies do not show yet."""

from __future__ import annotations

import asyncio

from controlled import behind, controlled
from customs import CRDS, WIDGETS, Document, definition, establish, gone, version, widget
from served import MAPS, NAMESPACES, PODS, Served, config_map, pod, served
from steersman.controllers.garbage import GarbageController
from steersman.controllers.namespace import NamespaceController
from steersman.controllers.resource_quota import ResourceQuotaController
from steersman.controllers.volume_protection import ClaimProtectionController
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.pod import POD
from steersman.model.kinds.secret import SECRET

DEFINITION = f"{CRDS}/widgets.example.com"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"


CONTROLLERS = (NamespaceController, GarbageController)


def owned(document: Document, owner: Document) -> Document:
    named = {key: owner[key] for key in ("apiVersion", "kind")}
    reference = {**named, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    metadata = {**document["metadata"], "ownerReferences": [reference]}
    return {**document, "metadata": metadata}


async def emptied(api: Served) -> None:
    (await api.post(NAMESPACES, {"metadata": {"name": "emptied"}})).ok()
    (await api.post(WIDGETS.replace("default", "emptied"), widget("one"))).ok()
    (await api.delete(f"{NAMESPACES}/emptied")).ok()
    await gone(api, f"{NAMESPACES}/emptied")
    assert (await api.get("/apis/example.com/v1/widgets")).names == []


@served
async def test_a_namespace_is_emptied_of_kinds_that_came_later(api: Served) -> None:
    async with controlled(api, *CONTROLLERS) as views:
        for _ in range(2):
            await establish(api, definition())
            await emptied(api)
            (await api.delete(DEFINITION)).ok()
            await gone(api, DEFINITION)
        await api.world.sleep(1)
        assert not views.custom() and not views.troubles()


@served
async def test_a_namespace_is_emptied_of_kinds_that_were_there_before(api: Served) -> None:
    await establish(api, definition())
    async with controlled(api, *CONTROLLERS):
        await emptied(api)


@served
async def test_a_namespace_does_not_end_before_what_no_view_holds_yet(api: Served) -> None:
    async with controlled(api, *CONTROLLERS, through=behind(CONFIGMAP)):
        (await api.post(NAMESPACES, {"metadata": {"name": "emptied"}})).ok()
        await api.world.sleep(1)
        late = MAPS.replace("default", "emptied")
        (await api.post(late, config_map("late"))).ok()
        (await api.delete(f"{NAMESPACES}/emptied")).ok()
        await gone(api, f"{late}/late")
        assert (await api.get(f"{NAMESPACES}/emptied")).document["status"]["phase"] == "Terminating"


@served
async def test_what_a_custom_resource_owned_goes_with_it(api: Served) -> None:
    async with controlled(api, *CONTROLLERS):
        await establish(api, definition())
        owner = (await api.post(WIDGETS, widget("owner"))).ok()
        (await api.post(MAPS, owned(config_map("dependent"), owner))).ok()
        (await api.post(WIDGETS, owned(widget("dependent"), owner))).ok()
        await api.world.sleep(5)
        assert (await api.get(f"{MAPS}/dependent")).code == 200
        (await api.delete(f"{WIDGETS}/owner")).ok()
        await gone(api, f"{MAPS}/dependent")
        await gone(api, f"{WIDGETS}/dependent")


@served
async def test_a_custom_resource_waits_for_its_dependents_in_the_foreground(api: Served) -> None:
    async with controlled(api, *CONTROLLERS):
        await establish(api, definition())
        owner = (await api.post(WIDGETS, widget("owner"))).ok()
        held = owned(config_map("held"), owner)
        held["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = True
        held["metadata"]["finalizers"] = ["example.com/hold"]
        (await api.post(MAPS, held)).ok()
        (await api.delete(f"{WIDGETS}/owner", propagationPolicy="Foreground")).ok()
        await api.world.sleep(5)
        assert (await api.get(f"{WIDGETS}/owner")).code == 200
        (await api.patch(f"{MAPS}/held", {"metadata": {"finalizers": None}})).ok()
        await gone(api, f"{WIDGETS}/owner")


@served
async def test_kinds_are_followed_in_the_version_that_is_served(api: Served) -> None:
    async with controlled(api, *CONTROLLERS) as views:
        await establish(api, definition(version(), version("v2", storage=False)))
        await emptied(api)
        changed = (await api.get(DEFINITION)).document
        first, second = changed["spec"]["versions"]
        first |= {"served": False, "storage": False}
        second["storage"] = True
        (await api.put(DEFINITION, changed)).ok()
        await api.world.sleep(5)
        (kind,) = views.custom().values()
        assert kind.storage == "v2" and not views.troubles()
        path = WIDGETS.replace("/v1/", "/v2/").replace("default", "emptied")
        (await api.post(NAMESPACES, {"metadata": {"name": "emptied"}})).ok()
        (await api.post(path, widget("one", api="v2"))).ok()
        (await api.delete(f"{NAMESPACES}/emptied")).ok()
        await gone(api, f"{NAMESPACES}/emptied")


@served
async def test_whoever_waits_for_a_change_of_a_kind_that_goes_waits_no_more(api: Served) -> None:
    async with controlled(api, *CONTROLLERS) as views:
        await establish(api, definition())
        await api.world.sleep(1)
        (kind,) = views.custom().values()
        waiting = asyncio.ensure_future(views.of(kind).reached(api.revision + 1_000_000))
        (await api.delete(DEFINITION)).ok()
        await gone(api, DEFINITION)
        async with asyncio.timeout(60):
            await waiting


@served
async def test_a_quota_counts_custom_resources_of_its_own_namespace(api: Served) -> None:
    await establish(api, definition())
    other = WIDGETS.replace("default", "other")
    (await api.post(NAMESPACES, {"metadata": {"name": "other"}})).ok()
    async with controlled(api, ResourceQuotaController):
        hard = {"count/widgets.example.com": "5"}
        (await api.post(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})).ok()
        for path, name in ((WIDGETS, "one"), (WIDGETS, "two"), (other, "elsewhere")):
            (await api.post(path, widget(name))).ok()
        await api.world.sleep(5)
        assert (await api.get(f"{QUOTAS}/q")).document["status"]["used"] == {
            "count/widgets.example.com": "2"
        }
        (await api.delete(f"{WIDGETS}/one")).ok()
        await api.world.sleep(5)
        assert (await api.get(f"{QUOTAS}/q")).document["status"]["used"] == {
            "count/widgets.example.com": "1"
        }


@served
async def test_what_is_owned_stays_where_its_owner_is_there_though_no_view_shows_it(
    api: Served,
) -> None:
    async with controlled(api, GarbageController, through=behind(SECRET)):
        await api.world.sleep(1)
        secrets = MAPS.replace("configmaps", "secrets")
        new = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "owner"}}
        owner = (await api.post(secrets, new)).ok()
        (await api.post(MAPS, owned(config_map("kept"), owner))).ok()
        another = {**owner, "metadata": {**owner["metadata"], "uid": "another"}}
        (await api.post(MAPS, owned(config_map("left"), another))).ok()
        unknown = {**another, "apiVersion": "example.com/v1", "kind": "Unknown"}
        mixed = owned(config_map("unknown"), unknown)  # nobody can say whether it is there
        lost = owned(config_map("unknown"), another)["metadata"]["ownerReferences"]
        mixed["metadata"]["ownerReferences"] += lost
        (await api.post(MAPS, mixed)).ok()
        await gone(api, f"{MAPS}/left")
        await api.world.sleep(10)
        for name in ("kept", "unknown"):
            assert (await api.get(f"{MAPS}/{name}")).code == 200


CLAIMS = MAPS.replace("configmaps", "persistentvolumeclaims")


@served
async def test_a_claim_stays_while_a_pod_that_no_view_shows_has_it(api: Served) -> None:
    async with controlled(api, ClaimProtectionController, through=behind(POD)):
        await api.world.sleep(1)
        wanted = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": wanted}
        for name in ("used", "free"):
            (await api.post(CLAIMS, {"metadata": {"name": name}, "spec": spec})).ok()
        source = {"name": "v", "persistentVolumeClaim": {"claimName": "used"}}
        (await api.post(PODS, pod("late", nodeName="a", volumes=[source]))).ok()
        for name in ("used", "free"):
            (await api.delete(f"{CLAIMS}/{name}")).ok()
        await gone(api, f"{CLAIMS}/free")
        await api.world.sleep(10)
        assert (await api.get(f"{CLAIMS}/used")).code == 200
