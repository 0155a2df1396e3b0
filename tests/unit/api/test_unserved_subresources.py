"""A subresource that nobody answers yet is refused, never answered with the object itself."""

from __future__ import annotations

import pytest

from served import Served, pod, served

POD = "/api/v1/namespaces/default/pods/web"


@pytest.mark.parametrize("path", [f"{POD}/proxy", f"{POD}/proxy/index.html"])
@served
async def test_a_proxy_is_refused_and_not_answered_with_the_pod(api: Served, path: str) -> None:
    (await api.post(POD.rsplit("/", 1)[0], pod("web"))).ok()
    answer = await api.get(path)
    assert answer.code == 405
    assert answer.message == "the server does not allow this method on the requested resource"


@served
async def test_a_subresource_that_is_part_of_the_object_is_read_as_the_object(api: Served) -> None:
    (await api.post(POD.rsplit("/", 1)[0], pod("web"))).ok()
    for name in ("status", "ephemeralcontainers"):
        assert (await api.get(f"{POD}/{name}")).ok()["metadata"]["name"] == "web"
