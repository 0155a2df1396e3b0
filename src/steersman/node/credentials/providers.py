"""Credential providers (KEP-2133): programs of the node's that know logins for images, and what is
remembered of their answers.

Follows pkg/credentialprovider/plugin. A program gets a CredentialProviderRequest on standard input
and answers with a CredentialProviderResponse; nothing of either is ever logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from steersman.client.client import APIClient
from steersman.images.credentials import BadCredentials, Entry, entries_in, fits
from steersman.images.references import Reference
from steersman.model.duration import parse_duration
from steersman.model.gotext import quote
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT, ServiceAccount
from steersman.model.names import qualified_name
from steersman.model.types.volume import ServiceAccountTokenProjection
from steersman.model.view import View
from steersman.node.credentials.access import Source
from steersman.node.programs import ProgramFailed, run_program
from steersman.node.static.marks import is_static
from steersman.node.volumes.tokens import Tokens
from steersman.wire import yaml
from steersman.world.interface import World

API_VERSION: Final = "credentialprovider.kubelet.k8s.io/v1"
CONFIG_VERSION: Final = "kubelet.config.k8s.io/v1"
RUN_SECONDS: Final = 60.0  # the kubelet's
# A hundred logins with tokens of some kilobytes; Secrets are no larger
MOST_BYTES: Final = 1 << 20
MOST_ANSWERS: Final = 1000  # remembered at a time; the ones that end first go
_EVERYTHING: Final = "global"
_CACHE_TYPES: Final = ("ServiceAccount", "Token")


class BadProviders(Exception):
    """The configuration cannot be used; the text says where and why."""


class ProviderFailed(Exception):
    """A program gave no answer that is one; the text has nothing of a login."""


class TokenAttributes(View, frozen=True):
    """Which token of a pod's ServiceAccount a provider is given (KEP-4412)."""

    service_account_token_audience: str = ""
    cache_type: str = ""
    require_service_account: bool | None = None
    required_service_account_annotation_keys: tuple[str, ...] = ()
    optional_service_account_annotation_keys: tuple[str, ...] = ()


class Variable(View, frozen=True):
    """A variable of a provider's environment."""

    name: str = ""
    value: str = ""


class Provider(View, frozen=True):
    """One program, the images about which it is asked, how long its answers last (1h30m)."""

    name: str = ""
    match_images: tuple[str, ...] = ()
    default_cache_duration: str = ""
    api_version: str = ""
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    token_attributes: TokenAttributes | None = None


class _Configuration(View, frozen=True):
    api_version: str = ""
    kind: str = ""
    providers: tuple[Provider, ...] = ()


class _Response(View, frozen=True):
    api_version: str = ""
    kind: str = ""
    cache_key_type: Literal["Image", "Registry", "Global"] = "Image"
    cache_duration: str | None = None
    auth: Mapping[str, Any] = {}


class _Answer(msgspec.Struct, frozen=True):
    """What is remembered of an answer, and until when."""

    entries: tuple[Entry, ...]
    until: float


class _Account(msgspec.Struct, frozen=True):
    """What a provider is told of the ServiceAccount for which an image is pulled."""

    source: Source = Source()
    token: str = ""
    annotations: Mapping[str, str] = {}
    key: str = ""


def parse_providers(data: bytes, programs: Path) -> tuple[Provider, ...]:
    """Reads a CredentialProviderConfig; `programs` is the folder of the programs. Raises
    BadProviders."""
    try:
        document = yaml.load(data)
        found = msgspec.convert(document, _Configuration)
    except (yaml.BadYAML, msgspec.ValidationError) as error:
        raise BadProviders(str(error)) from None
    if (found.api_version, found.kind) != (CONFIG_VERSION, "CredentialProviderConfig"):
        raise BadProviders(f"it must be a CredentialProviderConfig of {CONFIG_VERSION}")
    if not found.providers:
        raise BadProviders("providers: at least 1 item in plugins is required")
    names = [it.name for it in found.providers]
    for number, provider in enumerate(found.providers):
        for problem in _problems(provider, programs, names):
            raise BadProviders(f"providers[{number}]{problem}")
    return found.providers


def _problems(provider: Provider, programs: Path, names: list[str]) -> Iterator[str]:
    name = provider.name
    if not name or name in (".", "..") or any(sign in "/ " for sign in name):
        yield f".name: {name!r} is not the name of a program in {programs}"
    elif names.count(name) > 1:
        yield f".name: {name!r} is given twice"
    elif not os.access(programs / name, os.X_OK):
        yield f".name: there is no program {programs / name}"
    if provider.api_version != API_VERSION:
        yield f".apiVersion: {provider.api_version!r} is not {API_VERSION}"
    if not provider.match_images:
        yield ".matchImages: at least 1 item in matchImages is required"
    try:
        if parse_duration(provider.default_cache_duration) < 0:
            yield ".defaultCacheDuration: must be greater than or equal to 0"
    except ValueError as error:
        yield f".defaultCacheDuration: {error}"
    if provider.token_attributes is not None:
        yield from (f".tokenAttributes{it}" for it in _token_problems(provider.token_attributes))


def _token_problems(token: TokenAttributes) -> Iterator[str]:
    """Yields what is wrong with a choice of tokens, in upstream's words."""
    if not token.service_account_token_audience:
        what = "serviceAccountTokenAudience"
        yield f".{what}: Required value: {what} is required"
    if token.require_service_account is None:
        what = "requireServiceAccount"
        yield f".{what}: Required value: {what} is required"
    required = token.required_service_account_annotation_keys
    optional = token.optional_service_account_annotation_keys
    if required and token.require_service_account is False:
        what = "requiredServiceAccountAnnotationKeys"
        text = f"requireServiceAccount cannot be false when {what} is set"
        yield f".{what}: Forbidden: {text}"
    for side, keys in (("required", required), ("optional", optional)):
        yield from (f".{side}ServiceAccountAnnotationKeys: {it}" for it in _key_problems(keys))
    if both := sorted({*required} & {*optional}):
        shown = msgspec.json.encode(both).decode()
        yield f": Invalid value: {shown}: annotation keys cannot be both required and optional"
    if not token.cache_type:
        text = "cacheType is required to be set when tokenAttributes is specified. "
        yield f".cacheType: Required value: {text}Supported values are: {', '.join(_CACHE_TYPES)}"
    elif token.cache_type not in _CACHE_TYPES:
        known = ", ".join(quote(it) for it in _CACHE_TYPES)
        text = f"Unsupported value: {quote(token.cache_type)}: supported values: {known}"
        yield f".cacheType: {text}"


def _key_problems(keys: tuple[str, ...]) -> Iterator[str]:
    for number, key in enumerate(keys):
        for why in qualified_name(key.lower()):
            yield f"Invalid value: {quote(key)}: {why}"
        if key in keys[:number]:
            yield f"Duplicate value: {quote(key)}"


class Providers:
    """The providers of a node. One process of each runs at a time."""

    def __init__(
        self,
        providers: tuple[Provider, ...],
        programs: Path,
        client: APIClient,
        tokens: Tokens,
        world: World,
    ) -> None:
        self._providers = providers
        self._programs = programs
        self._client = client
        self._tokens = tokens
        self._world = world
        self._answers: dict[tuple[str, str, str], _Answer] = {}
        self._turns = {it.name: asyncio.Lock() for it in providers}

    async def ask(
        self, pod: Pod, reference: Reference
    ) -> tuple[list[tuple[Source, tuple[Entry, ...]]], list[str]]:
        """Returns what providers know about an image, each with its source (the node itself, or
        the pod's ServiceAccount), and what went wrong with others; raises the API's errors."""
        found, failures = [], []
        for provider in self._providers:
            if not any(fits(it, reference) for it in provider.match_images):
                continue
            account = await self._account(provider, pod)
            if account is None:
                continue
            try:
                async with self._turns[provider.name]:
                    entries = await self._entries(provider, reference, account)
            except ProviderFailed as error:
                failures.append(str(error))
            else:
                found.append((account.source, entries))
        return found, failures

    async def _account(self, provider: Provider, pod: Pod) -> _Account | None:
        """Returns what to tell of the pod's account; None where the provider is not to be asked."""
        wanted = provider.token_attributes
        if wanted is None:
            return _Account()
        if is_static(pod):  # it has none
            return None if wanted.require_service_account else _Account()
        name = pod.spec.service_account_name or "default"
        namespace = pod.metadata.namespace
        account: ServiceAccount = await self._client.get(SERVICEACCOUNT.ref(namespace, name))
        held = account.metadata.annotations
        required = wanted.required_service_account_annotation_keys
        if any(key not in held for key in required):
            return None
        keys = (*required, *wanted.optional_service_account_annotation_keys)
        told = {key: held[key] for key in keys if key in held}
        audience = wanted.service_account_token_audience
        asked = ServiceAccountTokenProjection(path=provider.name, audience=audience)
        token = (await self._tokens.get(pod, asked)).text
        uid = account.metadata.uid
        kept = token if wanted.cache_type == "Token" else ""
        text = msgspec.json.encode([namespace, name, uid, sorted(told.items()), kept])
        key = hashlib.sha256(text).hexdigest()
        return _Account(Source(namespace, name, uid), token, told, key)

    async def _entries(
        self, provider: Provider, reference: Reference, account: _Account
    ) -> tuple[Entry, ...]:
        now = self._world.now()
        for scope in (reference.name, reference.domain, _EVERYTHING):
            known = self._answers.get((provider.name, scope, account.key))
            if known is not None and known.until > now:
                return known.entries
        response = await self._run(provider, reference, account)
        lasts = response.cache_duration or provider.default_cache_duration
        try:
            entries = entries_in(response.auth)
            seconds = parse_duration(lasts)
        except (BadCredentials, ValueError) as error:
            raise ProviderFailed(f"{provider.name}: {error}") from None
        if seconds > 0:
            self._keep(provider, response, reference, account, _Answer(entries, now + seconds))
        return entries

    def _keep(
        self,
        provider: Provider,
        response: _Response,
        reference: Reference,
        account: _Account,
        answer: _Answer,
    ) -> None:
        scopes = {"Image": reference.name, "Registry": reference.domain, "Global": _EVERYTHING}
        scope = scopes[response.cache_key_type]
        while len(self._answers) >= MOST_ANSWERS:
            del self._answers[min(self._answers, key=lambda it: self._answers[it].until)]
        self._answers[provider.name, scope, account.key] = answer

    async def _run(self, provider: Provider, reference: Reference, account: _Account) -> _Response:
        request: dict[str, Any] = {
            "kind": "CredentialProviderRequest",
            "apiVersion": provider.api_version,
            "image": reference.name,
        }
        if account.token:
            request["serviceAccountToken"] = account.token
        if account.annotations:
            request["serviceAccountAnnotations"] = dict(account.annotations)
        output = await self._execute(provider, msgspec.json.encode(request))
        try:
            found = msgspec.json.decode(output, type=_Response)
        except (msgspec.DecodeError, RecursionError):
            raise ProviderFailed(f"{provider.name}: its answer is none") from None
        if (found.api_version, found.kind) != (API_VERSION, "CredentialProviderResponse"):
            text = f"its answer is no CredentialProviderResponse of {API_VERSION}"
            raise ProviderFailed(f"{provider.name}: {text}")
        return found

    async def _execute(self, provider: Provider, data: bytes) -> bytes:
        """Runs a program to its end and returns what it wrote."""
        try:
            output = await run_program(
                str(self._programs / provider.name),
                *provider.args,
                data=data,
                most_bytes=MOST_BYTES,
                seconds=RUN_SECONDS,
                world=self._world,
                environment={**os.environ, **{it.name: it.value for it in provider.env}},
            )
        except ProgramFailed as error:
            raise ProviderFailed(f"{provider.name}: {error}") from None
        if len(output) > MOST_BYTES:
            raise ProviderFailed(f"{provider.name}: its answer has more than {MOST_BYTES} bytes")
        return output
