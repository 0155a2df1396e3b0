"""A subresource that is no part of the object is never answered with the object itself."""

from __future__ import annotations

from served import Served, pod, served

POD = "/api/v1/namespaces/default/pods/web"


@served
async def test_a_proxy_is_never_answered_with_the_pod(api: Served) -> None:
    (await api.post(POD.rsplit("/", 1)[0], pod("web"))).ok()
    for path in ("proxy", "proxy/index.html"):
        answer = await api.get(f"{POD}/{path}")
        assert answer.code == 400
        assert answer.message == "pod web does not have an address assigned"


@served
async def test_a_subresource_that_is_part_of_the_object_is_read_as_the_object(api: Served) -> None:
    (await api.post(POD.rsplit("/", 1)[0], pod("web"))).ok()
    for name in ("status", "ephemeralcontainers"):
        assert (await api.get(f"{POD}/{name}")).ok()["metadata"]["name"] == "web"
