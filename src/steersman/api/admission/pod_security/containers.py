"""Pods as the checks look at them: all containers, security contexts, and the words of details."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from steersman.model.kind import Document


class Violation(NamedTuple):
    """What a pod does that a level forbids: a short reason and the details."""

    reason: str
    detail: str


# A pod (metadata and spec) and the minor version of the policy -> what is wrong with it
Check = Callable[[Document, int], Violation | None]


def spec_of(pod: Document) -> Document:
    """Returns a pod's spec."""
    found: Document = pod.get("spec") or {}
    return found


def containers(pod: Document) -> Iterator[Document]:
    """Yields init containers, containers and ephemeral containers."""
    spec = spec_of(pod)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def context(of: Document) -> Document:
    """Returns the security context of a pod's spec or of a container."""
    found: Document = of.get("securityContext") or {}
    return found


def named(pod: Document, bad: Callable[[Document], bool]) -> list[str]:
    """Returns the names of the containers for which something holds."""
    return [container.get("name", "") for container in containers(pod) if bad(container)]


def quoted(names: Collection[str]) -> str:
    """Returns names in quotes, with commas."""
    return ", ".join(f'"{name}"' for name in names)


def counted(noun: str, count: int) -> str:
    """Returns a noun for one or for several."""
    return noun if count == 1 else f"{noun}s"


def listed(names: Sequence[str]) -> str:
    """Returns `container "a"` or `containers "a", "b"`."""
    return f"{counted('container', len(names))} {quoted(names)}"


def setters(pod: Document, bad: Callable[[Document], bool]) -> str:
    """Returns who sets something: the pod, containers, both, or nobody."""
    found = ["pod"] if bad(spec_of(pod)) else []
    names = named(pod, bad)
    return " and ".join([*found, *([listed(names)] if names else [])])


def is_windows(pod: Document) -> bool:
    """Says whether a pod is for Windows, where some checks mean nothing."""
    return bool((spec_of(pod).get("os") or {}).get("name") == "windows")


def has_own_users(pod: Document) -> bool:
    """Says whether a pod runs in a user namespace (KEP-127)."""
    return spec_of(pod).get("hostUsers") is False
