"""Image names: parses, normalises and prints them as docker does.

Pure. Follows the grammar and the messages of github.com/distribution/reference, because a kubelet
shows these messages to people (InvalidImageName).
"""

import re

import msgspec
from msgspec.structs import replace

from steersman.images.errors import InvalidReference

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255  # distribution/reference: NameTotalLengthMax, for the repository name
TEXT_LIMIT = 1024  # longer than any valid name with tag and digest; bounds the regular expressions

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = re.compile(rf"{_HOST}(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class Reference(msgspec.Struct, frozen=True):
    """A normalised image name; prints as `domain/path[:tag][@digest]`."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        return self.name + self.suffix

    @property
    def familiar(self) -> str:
        """The short form that people type: `docker.io/library/nginx:1` is `nginx:1`."""
        official = self.path.removeprefix(OFFICIAL_PREFIX)
        path = self.path if "/" in official else official
        first, slash, _ = path.partition("/")
        if self.domain != DEFAULT_DOMAIN or (slash and _is_domain(first)):
            return str(self)
        return path + self.suffix

    def with_digest(self, digest: str) -> "Reference":
        """The same repository at one digest, without a tag."""
        return replace(self, tag=None, digest=digest)

    @property
    def suffix(self) -> str:
        """`:tag`, `@digest` or both."""
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """Parses and normalises an image name; `nginx` is `docker.io/library/nginx:latest`.

    Raises InvalidReference in the words of distribution/reference.
    """
    if not text:
        raise InvalidReference("repository name must have at least one component")
    if len(text) > TEXT_LIMIT:
        raise InvalidReference("invalid reference format")
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, remainder = _split_domain(text)
    path, tag, digest = _split_suffix(remainder)
    if path != path.lower():
        raise InvalidReference(
            f"invalid reference format: repository name ({path}) must be lowercase"
        )
    return _checked(domain, path, tag, digest)


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and _is_domain(first)
    domain, remainder = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain == LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = OFFICIAL_PREFIX + remainder
    return domain, remainder


def _is_domain(first: str) -> bool:
    """Whether the component before the first slash is a host rather than a folder."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _split_suffix(remainder: str) -> tuple[str, str | None, str | None]:
    rest, at, digest = remainder.partition("@")
    path, colon, tag = rest.partition(":")
    return path, tag if colon else None, digest if at else None


def _checked(domain: str, path: str, tag: str | None, digest: str | None) -> Reference:
    grammatical = (
        _DOMAIN.fullmatch(domain)
        and _PATH.fullmatch(path)
        and (tag is None or _TAG.fullmatch(tag))
        and (digest is None or _DIGEST.fullmatch(digest))
    )
    if not grammatical:
        raise InvalidReference("invalid reference format")
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise InvalidReference(f"repository name must not be more than {NAME_LIMIT} characters")
    if tag is None and digest is None:
        tag = DEFAULT_TAG
    return Reference(domain, path, tag, digest)
