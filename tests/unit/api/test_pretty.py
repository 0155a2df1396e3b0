"""Answers that are laid out for people."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from served import ADMIN, MAPS, Served, config_map, served
from steersman.model.errors import NotFound
from steersman.wire import media, pretty
from steersman.wire.message import Request, Response


@pytest.mark.parametrize(
    ("agent", "query", "accept", "wanted"),
    [
        ("curl/8.5.0", "", "", True),
        ("Wget/1.21", "", "", True),
        ("Mozilla/5.0 (X11; Linux)", "", "", True),
        ("kubectl/v1.32", "", "", False),
        ("kubectl/v1.32", "pretty=true", "", True),
        ("kubectl/v1.32", "limit=3&pretty=1", "", True),
        ("curl/8.5.0", "pretty=false", "", False),
        ("curl/8.5.0", "pretty=", "", True),
        ("kubectl/v1.32", "pretty=yes", "", False),
        ("kubectl/v1.32", "labelSelector=pretty", "", False),
        ("x", "", "application/json;pretty=1", True),
    ],
)
def test_who_wants_it(agent: str, query: str, accept: str, wanted: bool) -> None:
    headers = {"user-agent": agent, "accept": accept}
    assert pretty.is_wanted(Request("GET", "/api", query, headers)) is wanted


@served
async def test_objects_lists_documents_and_errors_are_laid_out(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()

    async def raw(path: str, **query: str) -> bytes:
        text = "&".join(f"{key}={value}" for key, value in query.items())
        request = Request("GET", path, text, {"user-agent": "curl/8"}, user=ADMIN)
        answer = api.assembly.api.handle(request)
        answer = answer if isinstance(answer, Response) else await answer
        if isinstance(answer.body, AsyncIterator):
            return b"".join([piece async for piece in answer.body])
        assert isinstance(answer.body, bytes)
        return answer.body

    told = await raw(f"{MAPS}/a")
    assert told.startswith(b'{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n')
    assert orjson.loads(told) == (await api.get(f"{MAPS}/a")).ok()
    assert (await raw(MAPS)).startswith(b'{\n  "kind": "ConfigMapList",')
    assert (await raw("/apis/apps/v1")).startswith(b'{\n  "kind": "APIResourceList",')
    missing = await raw(f"{MAPS}/none")
    assert missing.startswith(b'{\n  "kind": "Status",')
    assert b"\n" not in await raw(f"{MAPS}/a", pretty="false")
    assert orjson.loads(await raw("/openapi/v3"))["paths"], "compressed documents stay as they are"


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@served
async def test_a_document_in_pieces_is_laid_out_unless_it_is_too_long(api: Served) -> None:
    del api
    found = pretty.laid_out(Response(_pieces(b'{"a":', b"1}")))
    assert isinstance(found.body, AsyncIterator)
    assert b"".join([piece async for piece in found.body]) == b'{\n  "a": 1\n}'
    long = (b'{"a":"', b"x" * pretty.MOST_BYTES, b'y"}')
    found = pretty.laid_out(Response(_pieces(*long)))
    assert isinstance(found.body, AsyncIterator)
    assert b"".join([piece async for piece in found.body]) == b"".join(long)


def test_what_is_no_json_stays_as_it_is() -> None:
    plain = Response(b"ok", content_type="text/plain")
    assert pretty.laid_out(plain).body == b"ok"
    empty = media.answered(lambda: Response(b""), pretty.laid_out)
    assert isinstance(empty, Response)
    assert empty.body == b""

    def fails() -> Response:
        raise NotFound("nothing here")

    refused = media.answered(fails, pretty.laid_out)
    assert isinstance(refused, Response)
    assert refused.status == 404
