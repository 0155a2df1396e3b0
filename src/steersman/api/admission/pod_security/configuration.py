"""What a file tells PodSecurity: the standards of namespaces without labels, and who is exempt.

Follows k8s.io/pod-security-admission/admission/api with its validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from steersman.api.admission.pod_security.levels import MODES, PREFIX, Policy, policy_of
from steersman.model import causes, names
from steersman.model.errors import Cause
from steersman.model.gotext import aggregate

KIND: Final = "PodSecurityConfiguration"
GROUP: Final = "pod-security.admission.config.k8s.io"
VERSIONS: Final = tuple(f"{GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))


class PodSecuritySettings(msgspec.Struct, frozen=True):
    """The policy that labels change, and what is not looked at: by namespace, by the name of who
    asks, by the runtime class of the pod."""

    defaults: Policy = Policy()
    namespaces: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


class _Exemptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    usernames: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    runtime_classes: tuple[str, ...] = ()


class _Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    kind: str = ""
    api_version: str = ""
    defaults: dict[str, str] = {}
    exemptions: _Exemptions = _Exemptions()


def parse(document: Any) -> PodSecuritySettings:
    """Returns what a configuration says, None for none; raises ValueError."""
    if document is None:
        return PodSecuritySettings()
    try:
        found = msgspec.convert(document, _Configuration)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.kind != KIND or found.api_version not in VERSIONS:
        raise ValueError(f"it is no {KIND} of {VERSIONS[0]}")
    known = [name for mode in MODES for name in (mode, f"{mode}-version")]
    if unknown := sorted(set(found.defaults) - set(known)):
        raise ValueError(f'unknown field "defaults.{unknown[0]}"')
    # a level that was not given is not the one that another is set to (SetDefaults comes first)
    labels = {PREFIX + mode: found.defaults.get(mode) or "privileged" for mode in MODES}
    labels |= {PREFIX + name: text for name, text in found.defaults.items() if text}
    defaults, wrong = policy_of(labels)
    wrong = [*(_in_file(cause) for cause in wrong), *_wrong_exemptions(found.exemptions)]
    if wrong:
        raise ValueError(aggregate(f"{cause.field}: {cause.message}" for cause in wrong))
    exempt = found.exemptions
    return PodSecuritySettings(
        defaults,
        frozenset(exempt.namespaces),
        frozenset(exempt.usernames),
        frozenset(exempt.runtime_classes),
    )


def _in_file(cause: Cause) -> Cause:
    """Returns what is wrong with a label as what is wrong with a field of the file."""
    name = cause.field.removeprefix(f"metadata.labels[{PREFIX}").removesuffix("]")
    return Cause(cause.reason, cause.message, f"defaults.{name}")


def _wrong_exemptions(given: _Exemptions) -> Iterator[Cause]:
    yield from _wrong("namespaces", given.namespaces, names.dns1123_label)
    yield from _wrong("runtimeClasses", given.runtime_classes, names.dns1123_subdomain)
    empty = "username must not be empty"
    yield from _wrong("usernames", given.usernames, lambda name: [] if name else [empty])


def _wrong(
    field: str, given: Sequence[str], check: Callable[[str], Sequence[str]]
) -> Iterator[Cause]:
    for index, name in enumerate(given):
        path = f"exemptions.{field}[{index}]"
        if told := check(name):
            yield causes.invalid(path, name, ", ".join(told))
        elif name in given[:index]:
            yield causes.duplicate(path, name)
