"""The config.json that another runtime gets: pure, from our document and what is known by then.

Nothing of ours is left in it. Rule: what our own runtime does by itself is written out here, and
what cannot be written out is refused by name.
"""

from __future__ import annotations

from ..container import EXTRA
from ..kernel import capabilities, mounts, seccomp_profile
from ..kernel import syscalls as sc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..container import Plan

    Document = dict[str, Any]

# crun 1.8 refuses a later one; nothing of a later one is used
_OCI_VERSION = "1.0.2"
_NOT_ALLOWED = {"allow": False, "access": "rwm"}
# What is mounted below a volume later comes to the container where the root follows
# (containerd's WithMounts)
_FOLLOWING = ((sc.MS_SHARED, "rshared"), (sc.MS_SLAVE, "rslave"))


def render(
    bundle: Mapping[str, Any],
    plan: Plan,
    root: str,
    group: str,
    user: Sequence[int],
    sources: Mapping[int, str],
    lowest_oom_score: int,
) -> Document:
    """Returns the document. `user` is looked up: its id, its group's, all groups; `sources` are
    those of mounts of a part of a volume, by their index; no lower score can be had."""
    linux = dict(bundle.get("linux") or {})
    resources = linux.get("resources") or {}
    linux["cgroupsPath"] = group
    linux["resources"] = {**resources, "devices": [_NOT_ALLOWED, *(resources.get("devices") or ())]}
    if (bundle.get(EXTRA) or {}).get("seccomp") and not linux.get("seccomp"):
        names = capabilities.names_of(plan.process.capabilities.bounding)
        linux["seccomp"] = seccomp_profile.default_section(names)
    if not linux.get("rootfsPropagation") and (followed := _propagation(plan.mounts)):
        linux["rootfsPropagation"] = followed
    shown = {key: value for key, value in bundle.items() if key != EXTRA}
    shown["ociVersion"] = _OCI_VERSION
    shown["root"] = {**(bundle.get("root") or {}), "path": root}
    shown["process"] = {
        **(bundle.get("process") or {}),
        "user": _user(bundle, user),
        "capabilities": _capabilities(plan),
    }
    if plan.process.oom_score_adj is not None:
        shown["process"]["oomScoreAdj"] = max(plan.process.oom_score_adj, lowest_oom_score)
    shown["mounts"] = [
        _mount(entry, mount, sources.get(index, ""))
        for index, (entry, mount) in enumerate(
            zip(bundle.get("mounts") or (), plan.mounts, strict=True)
        )
    ]
    shown["linux"] = linux
    return shown


def _user(bundle: Mapping[str, Any], ids: Sequence[int]) -> Document:
    section = (bundle.get("process") or {}).get("user") or {}
    kept = {key: section[key] for key in ("umask",) if key in section}
    uid, gid, *groups = ids
    return {**kept, "uid": uid, "gid": gid, "additionalGids": [it for it in groups if it != gid]}


def _capabilities(plan: Plan) -> Document:
    """Those of the document that this machine has: others refuse what nobody can be given."""
    sets = plan.process.capabilities
    return {kind: capabilities.names_of(getattr(sets, kind)) for kind in sets.__slots__}


def _mount(entry: Mapping[str, Any], mount: mounts.Mount, source: str) -> Document:
    found = {key: value for key, value in entry.items() if key != "subPath"}
    options = list(entry.get("options") or ())
    if mount.bind and not {"bind", "rbind"} & {*options}:
        found["options"] = [*options, "rbind" if mount.recursive else "bind"]
    return {**found, "source": source} if source else found


def _propagation(known: Sequence[mounts.Mount]) -> str:
    asked = {it.propagation for it in known}
    return next((word for flag, word in _FOLLOWING if flag in asked), "")
