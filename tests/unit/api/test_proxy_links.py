"""Links that lead through a proxy again: which change, and that nothing else does."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from steersman.api.subresources import links
from steersman.api.subresources.links import Way, lead_back, rewritten
from steersman.wire.message import Response

BASE = "/api/v1/namespaces/n/services/https:web:80/proxy"
WAY = Way(BASE, "localhost:8001", "10.0.0.1:80")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("/login", f"{BASE}/login"),
        ("/", f"{BASE}/"),
        ("/a/?x=/y#z", f"{BASE}/a/?x=/y#z"),
        ("/a/../b//c", f"{BASE}/b/c"),
        ("http://10.0.0.1:80/a", f"{BASE}/a"),
        ("https://localhost:8001/a/", f"{BASE}/a/"),
        (f"http://localhost:8001{BASE}/a", f"{BASE}/a"),
        (f"{BASE}/a", f"{BASE}/a"),
        ("a/b", "a/b"),
        ("../a", "../a"),
        ("", ""),
        ("#top", "#top"),
        ("?x=1", "?x=1"),
        ("//example.com/a", "//example.com/a"),
        ("http://example.com/a", "http://example.com/a"),
        ("http://10.0.0.1/a", "http://10.0.0.1/a"),
        ("http://10.0.0.1:80", "http://10.0.0.1:80"),
        ("http://[/a", "http://[/a"),
        ("mailto:/a", "mailto:/a"),
    ],
)
def test_links_to_the_same_server_lead_through_the_proxy(link: str, expected: str) -> None:
    assert WAY.through(link) == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<A HREF=/x class="b&amp;c" hidden>y</a>',
         f'<a href="{BASE}/x" class="b&amp;c" hidden="">y</a>'),
        ("<img src='/i?a=1&amp;b=2'/>", f'<img src="{BASE}/i?a=1&amp;b=2"/>'),
        ('<body\n background="/b"><form action="/f">',
         f'<body background="{BASE}/b"><form action="{BASE}/f">'),
        ("<script>if (a < b && c) { x = '<a href=\"/x\">' }</script>",) * 2,
        ("<!-- <a href='/x'> --><!DOCTYPE html><p title='/x'>&nbsp;&lt; 5 < 6</p>",) * 2,
        ('<div href="/x"><a href="http://example.com/"><a href="y"><a>',) * 2,
        ("<a href='/x",) * 2,
        ("<p>\u00e9\n</p>\n\n  <link rel=icon href=/i>\n",
         f'<p>\u00e9\n</p>\n\n  <link rel="icon" href="{BASE}/i">\n'),
    ],
)  # fmt: skip
def test_the_links_of_a_page_change_and_nothing_else(page: str, expected: str) -> None:
    assert rewritten(page.encode(), WAY) == expected.encode()


def test_a_page_that_is_no_text_keeps_its_bytes() -> None:
    page = b"\xff<a href='/x'>\x00\xfe"
    assert rewritten(page, WAY) == b'\xff<a href="' + BASE.encode() + b'/x">\x00\xfe'


def led_back(body: bytes | AsyncIterator[bytes], **headers: str) -> tuple[bytes, dict[str, str]]:
    async def main() -> tuple[bytes, dict[str, str]]:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        answer = await lead_back(Response(body, 200, "text/html", given), WAY)
        if isinstance(answer.body, bytes):
            return answer.body, dict(answer.headers or {})
        assert isinstance(answer.body, AsyncIterator)
        return b"".join([piece async for piece in answer.body]), dict(answer.headers or {})

    return asyncio.run(main())


PAGE = b'<a href="/x">'
LED = f'<a href="{BASE}/x">'.encode()


def test_packed_pages_are_packed_again() -> None:
    body, headers = led_back(gzip.compress(PAGE), Content_Encoding="gzip")
    assert gzip.decompress(body) == LED
    assert headers["Content-Encoding"] == "gzip"
    packing = zlib.compressobj(wbits=-15)
    body, _ = led_back(packing.compress(PAGE) + packing.flush(), Content_Encoding="deflate")
    assert zlib.decompress(body, -15) == LED
    for packed, how in ((PAGE, "br"), (PAGE, "gzip"), (gzip.compress(PAGE)[:-9], "gzip")):
        assert led_back(packed, Content_Encoding=how)[0] == packed


def test_what_is_too_long_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_BYTES", 40)
    long = PAGE + b" " * 40

    async def streamed() -> AsyncIterator[bytes]:
        for place in range(0, len(long), 9):
            yield long[place : place + 9]

    assert led_back(streamed())[0] == long
    assert led_back(long)[0] == long
    bomb = gzip.compress(long)
    assert led_back(bomb, Content_Encoding="gzip")[0] == bomb
