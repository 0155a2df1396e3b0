"""Which checks a level makes in which version, and the policy that a namespace's labels ask for.

The checks run in upstream's order: those of the baseline by their ids, then the restricted ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from steersman.api.admission.pod_security import baseline, restricted
from steersman.api.admission.pod_security.containers import Check, Violation
from steersman.model import causes
from steersman.model.errors import Cause
from steersman.model.kind import Document

Level = Literal["privileged", "baseline", "restricted"]

LEVELS: Final[tuple[Level, ...]] = ("privileged", "baseline", "restricted")
LATEST: Final = 10_000  # newer than every version there will be
MODES: Final = ("enforce", "audit", "warn")
PREFIX: Final = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,3})", re.ASCII)


class Rule(NamedTuple):
    """A check, the minor version that it came with, and the baseline check that it stands for."""

    check: Check
    since: int = 0
    instead_of: str = ""


BASELINE: Final[Mapping[str, Rule]] = {
    "appArmorProfile": Rule(baseline.check_apparmor),
    "capabilities_baseline": Rule(baseline.check_capabilities),
    "hostNamespaces": Rule(baseline.check_host_namespaces),
    "hostPathVolumes": Rule(baseline.check_host_path),
    "hostPorts": Rule(baseline.check_host_ports),
    "hostProbesAndHostLifecycle": Rule(baseline.check_probes, 34),
    "privileged": Rule(baseline.check_privileged),
    "procMount": Rule(baseline.check_proc_mount),
    "seLinuxOptions": Rule(baseline.check_selinux),
    "seccompProfile_baseline": Rule(baseline.check_seccomp),
    "sysctls": Rule(baseline.check_sysctls),
    "windowsHostProcess": Rule(baseline.check_host_process),
}
RESTRICTED: Final[Mapping[str, Rule]] = {
    "allowPrivilegeEscalation": Rule(restricted.check_escalation, 8),
    "capabilities_restricted": Rule(restricted.check_capabilities, 22, "capabilities_baseline"),
    "procMount_restricted": Rule(baseline.check_masked_proc, 35, "procMount"),
    "restrictedVolumes": Rule(restricted.check_volumes, 0, "hostPathVolumes"),
    "runAsNonRoot": Rule(restricted.check_non_root),
    "runAsUser": Rule(restricted.check_user, 23),
    "seccompProfile_restricted": Rule(restricted.check_seccomp, 19, "seccompProfile_baseline"),
}


class Standard(NamedTuple):
    """A level in a version."""

    level: Level = "privileged"
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"


class Policy(NamedTuple):
    """What a namespace asks for in each mode."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()


def violations(standard: Standard, pod: Document) -> Iterator[Violation]:
    """Yields what a pod does that a standard forbids."""
    for check in _checks(standard):
        if (found := check(pod, standard.minor)) is not None:
            yield found


def _checks(standard: Standard) -> Iterator[Check]:
    if standard.level == "privileged":
        return
    strict = [rule for rule in RESTRICTED.values() if rule.since <= standard.minor]
    if standard.level == "baseline":
        strict = []
    replaced = {rule.instead_of for rule in strict}
    for name, rule in BASELINE.items():
        if rule.since <= standard.minor and name not in replaced:
            yield rule.check
    yield from (rule.check for rule in strict)


def detail(found: list[Violation]) -> str:
    """Returns violations with their details, as one text."""
    return ", ".join(f"{one.reason} ({one.detail})" for one in found)


PRIVILEGED: Final = Policy()


def policy_of(
    labels: Mapping[str, str], defaults: Policy = PRIVILEGED
) -> tuple[Policy, list[Cause]]:
    """Returns the policy of a namespace with these labels, and what is wrong with them. What they
    do not say is as in the defaults.

    A wrong level counts as restricted where it is enforced and as privileged elsewhere.
    """
    wrong: list[Cause] = []
    enforce, audit, warn = (
        _standard(mode, labels, standard, wrong)
        for mode, standard in zip(MODES, defaults, strict=True)
    )
    named = PREFIX + "enforce" in labels and labels[PREFIX + "enforce"] in LEVELS
    if named and PREFIX + "warn" not in labels and _is_stricter(enforce, warn):
        minor = warn.minor if PREFIX + "warn-version" in labels else enforce.minor
        warn = Standard(enforce.level, minor)
    return Policy(enforce, audit, warn), wrong


def _standard(
    mode: str, labels: Mapping[str, str], default: Standard, wrong: list[Cause]
) -> Standard:
    level, minor = default
    key = PREFIX + mode
    if (text := labels.get(key)) is not None:
        known: dict[str, Level] = {one: one for one in LEVELS}
        level = known.get(text, "restricted" if mode == "enforce" else "privileged")
        if text not in known:
            path = f"metadata.labels[{key}]"
            wrong.append(causes.invalid(path, text, f"must be one of {', '.join(LEVELS)}"))
    key += "-version"
    if (text := labels.get(key)) is not None:
        match = _VERSION.fullmatch(text)
        minor = int(match[1]) if match else LATEST
        if not match and text != "latest":
            path = f"metadata.labels[{key}]"
            wrong.append(causes.invalid(path, text, 'must be "latest" or "v1.x"'))
    return Standard(level, minor)


def _is_stricter(one: Standard, other: Standard) -> bool:
    return LEVELS.index(one.level) > LEVELS.index(other.level)


def is_raised(old: Standard, new: Standard) -> bool:
    """Says whether pods that were good may not be any more."""
    if new == old or new.level == "privileged":
        return False
    return new.minor != old.minor or _is_stricter(new, old)
