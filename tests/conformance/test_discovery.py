"""Upstream's rows about what a server says it serves: groups, versions, resources, itself."""

from __future__ import annotations

import re
from typing import Any

import orjson

from customs import definition, establish
from served import Served, served
from walks import discovered

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# What client-go's discovery client asks for
ACCEPTED = ",".join([AGGREGATED, AGGREGATED.replace("v=v2", "v=v2beta1"), "application/json"])
EXPECTED = [
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "v1", "apiservices"),
    ("apps", "v1", "deployments"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("autoscaling", "v1", "horizontalpodautoscalers"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("batch", "v1", "jobs"),
    ("certificates.k8s.io", "v1", "certificatesigningrequests"),
    ("coordination.k8s.io", "v1", "leases"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("events.k8s.io", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csinodes"),
]


async def aggregated(api: Served, path: str, accept: str) -> set[tuple[Any, Any, Any]]:
    """Returns group, version and name of every resource of an aggregated document."""
    document = orjson.loads((await api.get(path, accept=accept)).document)
    assert document["kind"] == "APIGroupDiscoveryList"
    assert document["apiVersion"] == "apidiscovery.k8s.io/v2"
    return {
        (group["metadata"].get("name", ""), version["version"], resource["resource"])
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


@served
async def test_the_aggregated_form_has_every_resource(api: Served) -> None:
    for accept in (AGGREGATED, ACCEPTED):
        assert set(EXPECTED) <= await aggregated(api, "/apis", accept)
        assert ("", "v1", "namespaces") in await aggregated(api, "/api", accept)


@served
async def test_the_aggregated_form_has_new_definitions(api: Served) -> None:
    await establish(api, definition())
    for accept in (AGGREGATED, ACCEPTED):
        assert ("example.com", "v1", "widgets") in await aggregated(api, "/apis", accept)


@served
async def test_every_group_prefers_one_of_its_versions(api: Served) -> None:
    groups = (await api.get("/apis")).ok()["groups"]
    assert len(groups) > len({group for group, _, _ in EXPECTED}) - 1
    for listed in groups:
        group = (await api.get(f"/apis/{listed['name']}")).ok()
        assert group["name"] == listed["name"]
        preferred = group["preferredVersion"]
        assert preferred == listed["preferredVersion"]
        assert preferred in group["versions"]
        assert preferred["groupVersion"] == f"{group['name']}/{preferred['version']}"


@served
async def test_every_group_and_version_lists_a_resource(api: Served) -> None:
    for group in (await api.get("/apis")).ok()["groups"]:
        for version in group["versions"]:
            listed = (await api.get(f"/apis/{version['groupVersion']}")).ok()
            assert listed["groupVersion"] == version["groupVersion"]
            assert listed["resources"], version


@served
async def test_webhook_configurations_are_in_the_documents(api: Served) -> None:
    group = "admissionregistration.k8s.io"
    names = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    await discovered(api, group, *names)


@served
async def test_custom_resource_definitions_are_in_the_documents(api: Served) -> None:
    await discovered(api, "apiextensions.k8s.io", "customresourcedefinitions")


@served
async def test_the_version_is_a_pair_of_numbers(api: Served) -> None:
    version = (await api.get("/version")).ok()
    assert (version["major"], version["minor"]) == ("1", "37")
    assert re.fullmatch(r"v1\.37\..*", version["gitVersion"])
