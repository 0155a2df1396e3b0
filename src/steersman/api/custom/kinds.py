"""From a definition to the kinds that it stands for: one for each version that is served. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from steersman.api.custom.columns import columns
from steersman.api.published.order import sorted_versions
from steersman.model import names
from steersman.model.gotext import printed
from steersman.model.kind import EVERY_FIELD, Document, Kind, Subresource, Version
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.structural import fieldpath, rules, scaling
from steersman.model.structural.definition_check import is_true
from steersman.model.structural.scaling import Scaling
from steersman.model.structural.shape import Converter, Family, Shape

Raw = Mapping[str, Any]

# A definition without a schema keeps everything (only old ones have none)
_KEEPS_ALL: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_FINALIZERS: Final = ("orphan", "foregroundDeletion", "kubernetes")
_VERBS = ("get", "patch", "update")


def compiled(raw: Raw) -> tuple[rules.Rule, ...]:
    """Returns the rules of a whole schema as one, none where it has no rules."""
    if not rules.has_rules(raw):
        return ()
    from steersman.api.custom import validations  # brings CEL

    return validations.compiled(raw)


def kinds_of(
    definition: Document,
    fresh: int,
    webhook: Converter | None = None,
    compile_rules: rules.Compile = compiled,
) -> tuple[Kind, ...]:
    """Returns the kinds that a definition stands for now, the preferred version first.

    fresh:   the revision behind which every object was written under this very definition
    webhook: makes of an object the same in another version; None: only its apiVersion changes
    """
    if not is_true(definition, "NamesAccepted") and not is_true(definition, "Established"):
        return ()
    versions = {version["name"]: version for version in definition["spec"]["versions"]}
    storage = next(name for name, version in versions.items() if version.get("storage"))
    family = Family(storage, webhook)
    for name, version in versions.items():
        family[name] = _shape(definition, version, family, compile_rules)
    served = [name for name, version in versions.items() if version.get("served")]
    if not served and definition["metadata"].get("deletionTimestamp"):
        served = [storage]  # what is left of its objects is still to be deleted
    return tuple(
        _kind(definition, versions[name], family, fresh) for name in sorted_versions(served)
    )


def _shape(
    definition: Document, version: Raw, family: Family, compile_rules: rules.Compile
) -> Shape:
    spec, found = definition["spec"], version.get("subresources") or {}
    scale = found.get("scale")
    return Shape(
        (version.get("schema") or {}).get("openAPIV3Schema") or _KEEPS_ALL,
        family=family,
        name=definition["status"]["acceptedNames"]["kind"],
        version=f"{spec['group']}/{version['name']}",
        namespaced=spec["scope"] == "Namespaced",
        status=found.get("status") is not None,
        scale=None if scale is None else Scaling.of(scale),
        compile_rules=compile_rules,
    )


def _kind(definition: Document, version: Raw, family: Family, fresh: int) -> Kind:
    spec, accepted = definition["spec"], definition["status"]["acceptedNames"]
    shape = family[version["name"]]
    served = Version(
        version["name"], "", deprecation=_deprecation(spec, version), shape=shape, fresh=fresh
    )
    return Kind(
        group=spec["group"],
        name=accepted["kind"],
        plural=accepted["plural"],
        namespaced=spec["scope"] == "Namespaced",
        versions=(served,),
        storage=family.storage,
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        prepare=shape.prepare,
        check=shape.check,
        warn=remarks,
        subresources=tuple(_subresources(version, shape)),
        columns=columns(version.get("additionalPrinterColumns") or ()),
        selectable=_selectable(version.get("selectableFields") or ()),
        spec_fields=EVERY_FIELD,
        singular_name=accepted.get("singular") or "",
        list_name=accepted.get("listKind") or "",
        conditional=True,
        strategic=False,
        complete=True,
    )


def _deprecation(spec: Raw, version: Raw) -> str:
    if not version.get("deprecated"):
        return ""
    told = f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated"
    return version.get("deprecationWarning") or told


def _subresources(version: Raw, shape: Shape) -> Iterator[Subresource]:
    if (version.get("subresources") or {}).get("status") is not None:
        yield STATUS_ALONE
    if shape.scale is not None:
        path = scaling.keys(shape.scale.replicas)
        yield Subresource("scale", _VERBS, (path,), "autoscaling/v1 Scale")


def _selectable(fields: Any) -> Mapping[str, Callable[[Document], str]]:
    return {field["jsonPath"].removeprefix("."): _reader(field["jsonPath"]) for field in fields}


def _reader(path: str) -> Callable[[Document], str]:
    def read(document: Document) -> str:
        found = fieldpath.read(document, path)
        return "" if not found or found[0] is None else printed(found[0])

    return read


def remarks(new: Document, old: Document | None, subresource: str) -> Iterator[str]:
    """Yields what a client is told of finalizers that it adds (validateKubeFinalizerName)."""
    if subresource:
        return
    known = ((old or {}).get("metadata") or {}).get("finalizers") or ()
    given = (new.get("metadata") or {}).get("finalizers") or ()
    for name in sorted(set(given) - set(known)):
        start = f'metadata.finalizers: "{name}": '
        yield from (start + problem for problem in names.qualified_name(name))
        if "/" not in name and name not in _FINALIZERS:
            path = " including a path (/)" if "." in name else ""
            yield (
                f"{start}prefer a domain-qualified finalizer name{path} to avoid accidental "
                "conflicts with other finalizer writers"
            )
