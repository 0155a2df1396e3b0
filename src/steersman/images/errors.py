"""What can go wrong with images, one class per thing that a caller may want to tell apart.

Every message is one line, fit for a terminal or an Event, and names what it speaks of.
"""


class ImageError(Exception):
    """Something about an image failed; the message is one line."""


class InvalidReference(ImageError):
    """An image name does not follow the grammar (the node reports InvalidImageName)."""


class ImageNotFound(ImageError):
    """The store or the registry has no such image."""


class Unauthorized(ImageError):
    """The registry refuses the pull: of nobody, or of whom the login names."""


class Unreachable(ImageError):
    """The registry cannot be reached, or the connection broke or stalled."""


class Corrupt(ImageError):
    """Content is malformed, truncated or differs from its digest."""


class Refused(ImageError):
    """Content is well-formed but hostile, over a limit, or of a kind that is not supported."""


class BuildError(ImageError):
    """A Containerfile cannot be built; reads `file:line: reason`."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}:{line}: {reason}")
        self.file, self.line, self.reason = file, line, reason
