"""The documents of a new cluster, as text that a person can compare with upstream's policy.

After a wanted change: `python tests/golden/test_bootstrap_transcript.py` writes the text anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from steersman.api.bootstrap.documents import documents
from steersman.model.kind import Document

TEXT = Path(__file__).with_name("bootstrap.txt")


def lines() -> Iterator[str]:
    for one in documents():
        meta = one["metadata"]
        where = f" in {meta['namespace']}" if "namespace" in meta else ""
        yield f"{one['apiVersion']} {one['kind']} {meta['name']}{where}"
        for field in ("labels", "annotations"):
            yield from (f"  {field[:-1]} {key}={value}" for key, value in own(meta, field))
        yield from body(one)


def own(meta: Document, field: str) -> Iterator[tuple[str, str]]:
    shared = ("kubernetes.io/bootstrapping", "rbac.authorization.kubernetes.io/autoupdate")
    for key, value in (meta.get(field) or {}).items():
        if key not in shared or value not in ("rbac-defaults", "true"):
            yield key, value


def body(one: Document) -> Iterator[str]:
    for rule in one.get("rules") or ():
        groups = ",".join(group or "core" for group in rule.get("apiGroups", ()))
        what = " ".join(rule.get("resources", ()) or rule["nonResourceURLs"])
        names = f" named {' '.join(rule['resourceNames'])}" if "resourceNames" in rule else ""
        yield f"  may {','.join(rule['verbs'])} {groups or '(paths)'}: {what}{names}"
    if "aggregationRule" in one:
        yield f"  is the sum of {one['aggregationRule']['clusterRoleSelectors']}"
    if "roleRef" in one:
        reference = one["roleRef"]
        yield f"  binds {reference['kind']} {reference['name']} ({reference['apiGroup']})"
        for subject in one.get("subjects", ()):
            place = f"{subject['namespace']}/" if "namespace" in subject else ""
            group = f" ({subject['apiGroup']})" if "apiGroup" in subject else ""
            yield f"  to {subject['kind']} {place}{subject['name']}{group}"
    for field in ("spec", "value", "description", "preemptionPolicy"):
        if field in one:
            yield f"  {field} {one[field]}"


def transcript() -> str:
    return "\n".join(lines()) + "\n"


def test_a_new_cluster_holds_exactly_these_documents() -> None:
    assert transcript() == TEXT.read_text()


if __name__ == "__main__":
    TEXT.write_text(transcript())
