"""`.dockerignore`: which files of a build context take no part in the build.

Pure. Follows docs.docker.com's build context page: the last pattern that matches a path or one of
its parents decides, `!` takes back, `**` stands for any number of directories.
"""

import posixpath
import re

import msgspec

from steersman.images.errors import Refused

PATTERN_LIMIT = 1024  # characters of one pattern


class Ignore(msgspec.Struct, frozen=True):
    """The patterns of one file, as expressions and whether each of them ignores."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()

    def ignores(self, path: str) -> bool:
        """Whether the file at `path`, relative to the context, is left out."""
        parts = path.split("/")
        prefixes = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        ignored = False
        for pattern, ignores in self.patterns:
            if ignores != ignored and any(map(pattern.fullmatch, prefixes)):
                ignored = ignores
        return ignored

    @property
    def takes_back(self) -> bool:
        """Whether something inside an ignored directory may take part all the same."""
        return any(not ignores for _, ignores in self.patterns)


NOTHING_IGNORED = Ignore()


def parse(text: str) -> Ignore:
    """Parses the text of a `.dockerignore`. Raises Refused."""
    patterns: list[tuple[re.Pattern[str], bool]] = []
    for line in text.removeprefix("\ufeff").splitlines():
        bare = line.strip()
        if not bare or line.startswith("#"):
            continue
        ignores = not bare.startswith("!")
        path = posixpath.normpath(bare.removeprefix("!").strip()).lstrip("/")
        if path and path != ".":
            patterns.append((expression(path), ignores))
    return Ignore(tuple(patterns))


def expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern with `*`, `?`, `[...]` and `**`. Raises Refused."""
    if len(pattern) > PATTERN_LIMIT:
        raise Refused(f"the pattern {pattern[:40]!r} is over {PATTERN_LIMIT} characters")
    result, at = "", 0
    while at < len(pattern):
        piece, at = _piece(pattern, at)
        result += piece
    try:
        return re.compile(result, re.DOTALL)
    except re.error as error:
        raise Refused(f"the pattern {pattern!r} is malformed: {error}") from None


def _piece(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("**/", at):
        return "(?:.*/)?", at + 3
    if pattern.startswith("**", at):
        return ".*", at + 2
    character = pattern[at]
    if character == "*":
        return "[^/]*", at + 1
    if character == "?":
        return "[^/]", at + 1
    if character == "[":
        return _class(pattern, at)
    if character == "\\" and at + 1 < len(pattern):
        return re.escape(pattern[at + 1]), at + 2
    return re.escape(character), at + 1


def _class(pattern: str, at: int) -> tuple[str, int]:
    end = pattern.find("]", at + 2)
    if end < 0:
        raise Refused(f"the pattern {pattern!r} is malformed: a [ without a ]")
    body = pattern[at + 1 : end].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
    negated = body.startswith((r"\^", "!"))
    return "[" + ("^" if negated else "") + body.removeprefix(r"\^").removeprefix(
        "!"
    ) + "]", end + 1
