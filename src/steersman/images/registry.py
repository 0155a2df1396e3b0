"""Reads from a distribution registry: manifests and blobs of one repository, with a login or none.

Not here: what is done with them (`pull`). One rule: a token goes to the host that it was given for
and to no other, a password to the registry and to the token service that it names. Follows the OCI
distribution specification and Docker's token authentication.
"""

import ipaddress
import json
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

from steersman.images.credentials import Login
from steersman.images.documents import (
    DOCUMENT_LIMIT,
    INDEX_TYPES,
    MANIFEST_TYPES,
    digest_of,
)
from steersman.images.errors import (
    Corrupt,
    ImageError,
    ImageNotFound,
    Refused,
    Unauthorized,
    Unreachable,
)
from steersman.images.http import Http, Response
from steersman.images.references import DEFAULT_DOMAIN, Reference

DOCKER_HOST = "registry-1.docker.io"
REDIRECT_LIMIT = 5
TOKEN_LIMIT = 1 << 20
ERROR_LIMIT = 1 << 16  # bytes of an error body that are read
MESSAGE_LIMIT = 300  # characters of a registry's message that are passed on
_REDIRECTS = (301, 302, 303, 307, 308)
_PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')
_ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))


class Repository:
    """The repository of one image; keeps its token while it lives. `login` is used when asked for.

    HTTP in place of HTTPS is spoken with loopback hosts, and where `insecure` says so.
    """

    def __init__(
        self,
        http: Http,
        reference: Reference,
        *,
        insecure: bool = False,
        login: Login | None = None,
    ) -> None:
        self._http, self._reference, self._login = http, reference, login
        host = DOCKER_HOST if reference.domain == DEFAULT_DOMAIN else reference.domain
        self._is_insecure = insecure or is_loopback(host)
        scheme = "http" if self._is_insecure else "https"
        self._url = f"{scheme}://{host}/v2/{reference.path}"
        self._authorization = ""

    async def manifest(self, name: str) -> tuple[str, bytes]:
        """The digest and bytes of the manifest or index of a tag or digest, verified."""
        async with await self._get(f"manifests/{name}", {"Accept": _ACCEPT}) as response:
            data = await response.read(DOCUMENT_LIMIT)
            stated = response.headers.get("docker-content-digest", "")
        digest = digest_of(data)
        expected = name if ":" in name else stated
        if expected.startswith("sha256:") and digest != expected:
            raise Corrupt(f"the manifest {expected} has the digest {digest}")
        return digest, data

    async def blob(self, digest: str) -> Response:
        """The answer that brings a blob; the caller verifies what comes."""
        return await self._get(f"blobs/{digest}", {})

    async def _get(self, path: str, headers: Mapping[str, str]) -> Response:
        """The successful answer to a GET, after redirects and, where asked for, a token."""
        response = await self._follow(f"{self._url}/{path}", headers)
        if response.status == 401:
            async with response:
                challenge = response.headers.get("www-authenticate", "")
            self._authorization = await self._authorize(challenge)
            response = await self._follow(f"{self._url}/{path}", headers)
        if response.status == 200:
            return response
        async with response:
            raise await self._failure(response)

    async def _follow(self, url: str, headers: Mapping[str, str]) -> Response:
        origin = _origin(url)
        for _ in range(REDIRECT_LIMIT + 1):
            is_home = self._authorization and _origin(url) == origin
            sent = {**headers, **({"Authorization": self._authorization} if is_home else {})}
            response = await self._http.get(url, sent)
            if response.status not in _REDIRECTS:
                return response
            async with response:
                url = self._redirected(url, response.headers.get("location", ""))
        raise Refused(f"{origin[1]} redirects more than {REDIRECT_LIMIT} times")

    def _redirected(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
        if not location or scheme not in ("http", "https"):
            raise Refused(f"{urlsplit(url).netloc} redirects to {location[:80]!r}")
        if scheme == "http" and not self._is_insecure:
            raise Refused(f"{urlsplit(url).netloc} redirects from HTTPS to HTTP")
        return target

    async def _authorize(self, challenge: str) -> str:
        """Returns what a registry wants to see: the login itself, or a token for it."""
        kind = challenge.partition(" ")[0].lower()
        if kind == "basic" and self._login is not None:
            return self._login.header()
        return f"Bearer {await self._fetch_token(challenge)}"

    async def _fetch_token(self, challenge: str) -> str:
        kind, _, rest = challenge.partition(" ")
        parameters = {key.lower(): value for key, value in _PARAMETER.findall(rest)}
        realm = parameters.get("realm", "")
        if kind.lower() != "bearer" or not realm:
            raise Unauthorized(f"{self._denied()}: the registry wants a login")
        if not self._is_insecure and urlsplit(realm).scheme != "https":
            raise Refused(f"the registry wants its token fetched without TLS from {realm[:80]!r}")
        query = {key: parameters[key] for key in ("service", "scope") if key in parameters}
        query.setdefault("scope", f"repository:{self._reference.path}:pull")
        separator = "&" if "?" in realm else "?"
        headers = {"Authorization": self._login.header()} if self._login is not None else {}
        url = realm + separator + urlencode(query)
        async with await self._http.get(url, headers) as response:
            if response.status != 200:
                raise Unauthorized(f"{self._denied()}: no token from {urlsplit(realm).netloc}")
            return _token_in(await response.read(TOKEN_LIMIT))

    async def _failure(self, response: Response) -> ImageError:
        message = _message_in(await response.read(ERROR_LIMIT))
        if response.status == 404:
            return ImageNotFound(f"{self._reference}: not found")
        if response.status in (401, 403):
            return Unauthorized(f"{self._denied()}: {message}" if message else self._denied())
        host = urlsplit(self._url).netloc
        return Unreachable(f"{host} answers with status {response.status} {message}".rstrip())

    def _denied(self) -> str:
        return "pull access denied, repository does not exist or may require authorization"


def is_loopback(domain: str) -> bool:
    """Whether `host[:port]` is this machine itself."""
    host = urlsplit(f"//{domain}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _token_in(body: bytes) -> str:
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Unauthorized("the registry's token service gives no token")
    return token


def _message_in(body: bytes) -> str:
    """What a registry says of an error, on one printable line."""
    try:
        errors = json.loads(body)["errors"]
        text = "; ".join(f"{each['code']}: {each['message']}".lower() for each in errors)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "".join(each for each in text if each.isprintable())[:MESSAGE_LIMIT]
