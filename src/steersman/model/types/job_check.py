"""What is checked of a Job (ValidateJob in pkg/apis/batch/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    IMMUTABLE,
    immutable,
    invalid,
    not_supported,
    required,
    too_long,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.job_policy_check import check_policies
from steersman.model.types.metadata import check_domain_prefixed
from steersman.model.types.podspec_check import check_template
from steersman.model.types.selector import check_selector, compiled
from steersman.model.types.workload_check import check_matching, check_numbers, template_of

_NUMBERS: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_MODES: Final = ("NonIndexed", "Indexed")
_MOST_MANAGER_BYTES: Final = 63
_MOST_INDEXED_PARALLELISM: Final = 100_000
_MOST_FAILED_INDEXES: Final = 100_000
# more completions than this are tracked with less parallelism and fewer failed indexes
_MANY_COMPLETIONS: Final = 100_000
_MOST_OF_MANY: Final = 10_000
_FIXED: Final = (
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_NAMED: Final = ("job-name", "batch.kubernetes.io/job-name")
_OWNED: Final = ("controller-uid", "batch.kubernetes.io/controller-uid")
# what may still change in the template of a suspended job without pods
_SCHEDULING: Final = ("nodeSelector", "tolerations", "schedulingGates")
_MEASURED: Final = ("containers", "initContainers")


def check_selected(new: Document, old: Document | None) -> Iterator[Cause]:
    """Yields whether a Job's selector, where it is made for it, is not what was made
    (validateGeneratedSelector)."""
    spec, metadata = new.get("spec") or {}, new.get("metadata") or {}
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    name, uid = metadata.get("name", ""), metadata.get("uid", "")
    if not uid:
        yield required("metadata.uid")
    before = _labels((old or new).get("spec") or {})
    prefixed = old is None or (_NAMED[1] in before and _OWNED[1] in before)
    kept = 2 if prefixed else 1  # of a Job from before there were prefixes
    wanted: dict[str, str] = {}
    for position in range(kept):
        wanted |= {_OWNED[position]: uid, _NAMED[position]: name}
    labels = _labels(spec)
    for key, value in wanted.items():
        path, detail = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            yield required(path, detail)
        elif labels[key] != value:
            yield invalid(path, labels, detail)
    selector = compiled(spec["selector"])
    if selector is not None and not selector(wanted):
        yield invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def _labels(spec: Document) -> Document:
    return ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}


def check_hostnames(new: Document) -> Iterator[Cause]:
    """Yields whether a pod of an Indexed Job could not be called after it and its index."""
    spec, name = new.get("spec") or {}, (new.get("metadata") or {}).get("name", "")
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return
    last = f"{name}-{completions - 1}"
    if names.dns1123_label(last):
        detail = f"will not able to create pod with invalid DNS label: {last}"
        yield invalid("metadata.name", name, detail)


def check_spec(spec: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a Job whose selector is set; `old` is the Job from
    before an update."""
    yield from check_template_spec(spec, "spec", template_of(old))
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    yield from check_selector(selector, "spec.selector")
    if compiled(selector) is not None:
        yield from check_matching(spec)


def check_template_spec(spec: Document, path: str, old: Document | None = None) -> Iterator[Cause]:
    """Yields what is wrong with a Job's spec, of a CronJob's template too; `old` is the template of
    its pods from before an update."""
    for cause in check_numbers(spec, *_NUMBERS):
        yield Cause(cause.reason, cause.message, path + cause.field.removeprefix("spec"))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if (manager := spec.get("managedBy")) is not None:
        yield from check_domain_prefixed(manager, f"{path}.managedBy")
        if len(manager.encode()) > _MOST_MANAGER_BYTES:
            yield too_long(f"{path}.managedBy", _MOST_MANAGER_BYTES)
    yield from _check_mode(spec, path)
    yield from check_policies(spec, path)
    template = spec.get("template") or {}
    yield from check_template(template, f"{path}.template", old)
    policy, where = (template.get("spec") or {}).get("restartPolicy"), f"{path}.template.spec"
    if policy not in ("OnFailure", "Never"):
        yield required(f"{where}.restartPolicy", 'valid values: "OnFailure", "Never"')
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        yield invalid(f"{where}.restartPolicy", policy, detail)


def _check_mode(spec: Document, path: str) -> Iterator[Cause]:
    mode = spec.get("completionMode")
    if mode is not None and mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed":
        yield from _check_indexed(spec, path)
    elif mode in (None, "NonIndexed"):
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                yield invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")


def _check_indexed(spec: Document, path: str) -> Iterator[Cause]:
    completions, failed = spec.get("completions"), spec.get("maxFailedIndexes")
    parallelism = spec.get("parallelism") or 0
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism > _MOST_INDEXED_PARALLELISM:
        detail = f"must be less than or equal to {_MOST_INDEXED_PARALLELISM} when completion mode"
        yield invalid(f"{path}.parallelism", parallelism, f"{detail} is Indexed")
    if completions is not None and failed is not None and failed > completions:
        detail = "must be less than or equal to completions"
        yield invalid(f"{path}.maxFailedIndexes", failed, detail)
    if failed is not None and failed > _MOST_FAILED_INDEXES:
        detail = f"must be less than or equal to {_MOST_FAILED_INDEXES}"
        yield invalid(f"{path}.maxFailedIndexes", failed, detail)
    if (completions or 0) > _MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
        yield from _check_many(failed, parallelism, path)


def _check_many(failed: int | None, parallelism: int, path: str) -> Iterator[Cause]:
    bound = (
        f"must be less than or equal to {_MOST_OF_MANY} when completions are above "
        f"{_MANY_COMPLETIONS} and used with backoff limit per index"
    )
    if failed is None:
        detail = f"must be specified when completions is above {_MANY_COMPLETIONS}"
        yield required(f"{path}.maxFailedIndexes", detail)
    if parallelism > _MOST_OF_MANY:
        yield invalid(f"{path}.parallelism", parallelism, bound)
    if failed is not None and failed > _MOST_OF_MANY:
        yield invalid(f"{path}.maxFailedIndexes", failed, bound)


def check_change(new: Document, old: Document) -> Iterator[Cause]:
    """Yields what an update changes of a Job's spec and may not."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    yield from _check_completions(spec, before)
    yield from immutable("spec.selector", spec.get("selector"), before.get("selector"))
    template = spec.get("template") or {}
    if template != _kept(before.get("template") or {}, template, _is_idle(old)):
        yield invalid("spec.template", template, IMMUTABLE)
    for name in _FIXED:
        yield from immutable(f"spec.{name}", spec.get(name), before.get(name))


def _check_completions(spec: Document, before: Document) -> Iterator[Cause]:
    now, then = spec.get("completions"), before.get("completions")
    if now == then:
        return
    if spec.get("completionMode") != "Indexed":
        yield invalid("spec.completions", now, IMMUTABLE)
    elif now is not None and now != spec.get("parallelism"):
        detail = "can only be modified in tandem with spec.parallelism"
        yield invalid("spec.completions", now, detail)


def _is_idle(old: Document) -> bool:
    """Tells whether a Job is suspended and has no pods (any more: KEP-5440)."""
    status = old.get("status") or {}
    if not (old.get("spec") or {}).get("suspend"):
        return False
    return not status.get("startTime") or not status.get("active")


def _kept(old: Document, new: Document, idle: bool) -> Document:
    """Returns an old template with what a new one may change in it."""
    if not idle:
        return old
    pod, wanted = dict(old.get("spec") or {}), new.get("spec") or {}
    for name in _SCHEDULING:
        pod[name] = wanted.get(name)
    pod["affinity"] = _placed(pod.get("affinity") or {}, wanted.get("affinity"))
    for name in _MEASURED:
        pod[name] = _measured(pod.get(name), wanted.get(name))
    metadata = dict(old.get("metadata") or {})
    for name in ("labels", "annotations"):
        metadata[name] = (new.get("metadata") or {}).get(name)
    kept = {**old, "spec": _given(pod), "metadata": _given(metadata)}
    return kept if kept["metadata"] or "metadata" in new else {"spec": kept["spec"]}


def _placed(old: Document, new: Document | None) -> Document | None:
    kept = {name: value for name, value in old.items() if name != "nodeAffinity"}
    if new is None:
        return kept or None
    return _given({**kept, "nodeAffinity": new.get("nodeAffinity")})


def _measured(old: list[Document] | None, new: list[Document] | None) -> list[Document] | None:
    if old is None or new is None or len(old) != len(new):
        return old
    return [
        _given({**one, "resources": wanted.get("resources")})
        for one, wanted in zip(old, new, strict=True)
    ]


def _given(document: dict[str, Any]) -> Document:
    return {name: value for name, value in document.items() if value is not None}
