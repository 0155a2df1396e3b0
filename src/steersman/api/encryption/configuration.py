"""apiserver.config.k8s.io/v1 EncryptionConfiguration: providers by resource, read strictly and
checked before anything starts. Errors name the field and never hold a key.

Follows apiserver's apis/apiserver/validation and options/encryptionconfig, messages included.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from steersman.api.encryption import kms_settings
from steersman.api.encryption.ciphers import AESCBC, AESGCM, Cipher, SecretBox
from steersman.api.encryption.kms_settings import KMSSettings
from steersman.api.encryption.providers import IDENTITY, PLAIN, Provider, Providers
from steersman.api.encryption.sealing import Plugin, Sealing
from steersman.model.gotext import aggregate, quote
from steersman.model.ref import Resource

VERSION: Final = "apiserver.config.k8s.io/v1"
_AES_BYTES: Final = (16, 24, 32)
_BOX_BYTES: Final = (32,)
_STAR: Final = (
    "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
)
_EVENTS: Final = (
    "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' "
    "instead in the config file"
)
_EXTENSIONS: Final = "'extensions' group has been removed and cannot be used for encryption"
_ACROSS: Final = "encrypting the same resource across groups is not supported"
_CAPITALS: Final = "resource name should not contain capital letters"
_NO_REST: Final = "resources which do not have REST API/s cannot be encrypted"
_OVERLAP: Final = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not "
    "allowed as they will be masked"
)
_TWICE: Final = "the same resource cannot be specified multiple times"
_NO_PROVIDER: Final = (
    "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, "
    "Identity"
)
_SEVERAL: Final = (
    "more than one provider specified in a single element, should split into different list "
    "elements"
)
NO_SECRETBOX: Final = (
    "secretbox needs PyNaCl, which is not installed: pip install 'steersman[secretbox]', or use "
    "aesgcm"
)


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key's name and its bytes in base64."""

    name: str = ""
    secret: str = ""


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a provider; the first seals."""

    keys: tuple[Key, ...] = ()


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider."""

    aesgcm: Keys | None = None
    aescbc: Keys | None = None
    secretbox: Keys | None = None
    identity: dict[str, Any] | None = None
    kms: KMSSettings | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Resources, and the providers for them."""

    resources: tuple[str, ...] = ()
    providers: tuple[Choice, ...] = ()


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    kind: str = ""
    api_version: str = msgspec.field(default="", name="apiVersion")
    resources: tuple[Rule, ...] = ()
    metadata: dict[str, Any] | None = None


class Encryption:
    """Which providers a resource has: its own, those of its group, those of all. `plugins` are
    those whose keys somebody else keeps."""

    def __init__(
        self, rules: Mapping[tuple[str, str], Providers], plugins: Sequence[Plugin] = ()
    ) -> None:
        self._rules = rules
        self.plugins = plugins

    async def health(self) -> str:
        """Returns what is wrong with plugins, nothing where all are well (kms-providers)."""
        told = enumerate([await plugin.health() for plugin in self.plugins])
        wrong = [f"kms-provider-{index}: {why}" for index, why in told if why]
        return aggregate(wrong) if wrong else ""

    def of(self, resource: Resource) -> Providers:
        """Returns a resource's providers."""
        group = resource.group
        for wanted in ((resource.plural, group), ("*", group), ("*", "*")):
            if (found := self._rules.get(wanted)) is not None:
                return found
        return PLAIN


NO_ENCRYPTION: Final = Encryption({})
_KINDS: Final[Mapping[str, tuple[Callable[[bytes], Cipher], tuple[int, ...], str]]] = {
    "aesgcm": (AESGCM, _AES_BYTES, "AES"),
    "aescbc": (AESCBC, _AES_BYTES, "AES"),
    "secretbox": (SecretBox, _BOX_BYTES, "Secretbox"),
}


def parse(document: Any) -> Encryption:
    """Returns the providers of a document; raises ValueError with all that is wrong."""
    try:
        found = msgspec.convert(document, Configuration)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if (found.api_version, found.kind) != (VERSION, "EncryptionConfiguration"):
        wanted = f"an EncryptionConfiguration of {VERSION} is wanted"
        raise ValueError(f"got unexpected config type: {wanted}")
    if problems := list(_problems(found)):
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    rules = _rules(found)
    plugins = {id(one): one for all_ in rules.values() for one in all_ if isinstance(one, Plugin)}
    return Encryption(
        {name: Providers(*all_) for name, all_ in rules.items()}, tuple(plugins.values())
    )


def _rules(configuration: Configuration) -> dict[tuple[str, str], list[Sealing]]:
    rules: dict[tuple[str, str], list[Sealing]] = {}
    for rule in configuration.resources:
        providers = [_provider(one) for one in rule.providers]
        for text in rule.resources:
            name = _split(text)
            for masking in (("*", name[1]), ("*", "*")):
                if masking in rules:
                    mine, earlier = quote(_joined(name)), quote(_joined(masking))
                    raise ValueError(f"resource {mine} is masked by earlier rule {earlier}")
            rules.setdefault(name, []).extend(providers)
    return rules


def _provider(choice: Choice) -> Sealing:
    if choice.kms is not None:
        from steersman.api.encryption.kms import KMS  # brings gRPC

        return KMS(choice.kms)
    for name, (cipher, _sizes, family) in _KINDS.items():
        if (given := getattr(choice, name)) is not None:
            missing = f"no matching key was found for the provided {family} transformer"
            try:
                keys = tuple((one.name, cipher(base64.b64decode(one.secret))) for one in given.keys)
            except ModuleNotFoundError:
                raise ValueError(NO_SECRETBOX) from None
            return Provider(f"k8s:enc:{name}:v1:".encode(), keys, missing)
    return IDENTITY


def _problems(configuration: Configuration) -> Iterator[str]:
    if not configuration.resources:
        yield _required("resources", "resources")
    plugins: set[str] = set()
    for index, rule in enumerate(configuration.resources):
        path = f"resources[{index}].resources"
        if not rule.resources:
            yield _required(path, path)
        yield from _overlaps(rule.resources, path)
        for place, text in enumerate(rule.resources):
            if why := _bad_resource(text):
                yield f"{path}[{place}]: Invalid value: {quote(text)}: {why}"
        path = f"resources[{index}].providers"
        if not rule.providers:
            yield _required(path, path)
        for place, choice in enumerate(rule.providers):
            yield from _bad_provider(choice, f"{path}[{place}]", plugins)


def _required(path: str, what: str) -> str:
    return f"{path}: Required value: at least one {what} is required"


def _split(text: str) -> tuple[str, str]:
    """Returns resource and group (schema.ParseGroupResource)."""
    resource, _, group = text.partition(".")
    return resource, group


def _joined(name: tuple[str, str]) -> str:
    resource, group = name
    return f"{resource}.{group}" if group or resource == "*" else resource


def _overlaps(resources: tuple[str, ...], path: str) -> Iterator[str]:
    names = [_split(text) for text in resources]
    shown = f"[{','.join(quote(text) for text in resources)}]"
    if len(set(names)) < len(names):
        yield f"{path}: Invalid value: {shown}: {_TWICE}"
    groups = [group for _resource, group in dict.fromkeys(names)]
    stars = [group for resource, group in dict.fromkeys(names) if resource == "*"]
    if (("*", "*") in names and len(groups) > 1) or any(groups.count(one) > 1 for one in stars):
        yield f"{path}: Invalid value: {shown}: {_OVERLAP}"


def _bad_resource(text: str) -> str:
    resource, group = _split(text)
    if text != text.lower():
        return _CAPITALS
    if text == "*":
        return _STAR
    if text in ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations"):
        return _NO_REST
    if group == "events.k8s.io":
        return _EVENTS
    if group == "extensions":
        return _EXTENSIONS
    return _ACROSS if group == "*" and resource != "*" else ""


def _bad_provider(choice: Choice, path: str, plugins: set[str]) -> Iterator[str]:
    named = [name for name in choice.__struct_fields__ if getattr(choice, name) is not None]
    if len(named) != 1:
        yield f"{path}: Invalid value: {_SEVERAL if named else _NO_PROVIDER}"
        return
    if choice.kms is not None:
        yield from kms_settings.check(choice.kms, plugins, f"{path}.kms")
    elif named != ["identity"]:
        (name,) = named
        yield from _bad_keys(getattr(choice, name), f"{path}.{name}.keys", _KINDS[name][1])


def _bad_keys(given: Keys, path: str, sizes: tuple[int, ...]) -> Iterator[str]:
    if not given.keys:
        yield _required(path, "keys")
    for index, key in enumerate(given.keys):
        place = f"{path}[{index}]"
        if not key.name:
            yield f"{place}.name: Required value: name is a mandatory field for a key"
        if not key.secret:
            yield f"{place}.secret: Required value: secret is a mandatory field for a key"
        elif why := _bad_secret(key.secret, sizes):
            yield f'{place}.secret: Invalid value: "REDACTED": {why}'


def _bad_secret(text: str, sizes: tuple[int, ...]) -> str:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "secrets must be base64 encoded"
    if len(secret) in sizes:
        return ""
    wanted = " ".join(map(str, sizes))
    return f"secret is not of the expected length, got {len(secret)}, expected one of [{wanted}]"
