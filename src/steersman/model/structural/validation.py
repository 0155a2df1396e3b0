"""Validates values against a schema: the keywords of OpenAPI v3 that upstream allows, its words.

A schema becomes closures, each made when a value first reaches its place. On an update what was
there before and has not changed is excused, place by place (KEP-4008). After kube-openapi's
validation/validate, whose counting of matches decides which alternative is told of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from steersman.model.gotext import quote
from steersman.model.patch import equal
from steersman.model.structural import formats, numbers, patterns
from steersman.model.structural.results import Mistake, Result

Raw = Mapping[str, Any]
# Validates a value into a result; `old` is what stood there before
Check = Callable[[Any, str, Any, Result], None]

ABSENT: Final = object()


class Validator:
    """One schema; see the module."""

    def __init__(self, raw: Raw) -> None:
        self._place = Place(raw)

    def validate(self, value: Any, old: Any = ABSENT) -> Result:
        """Returns what is wrong with a value that stands in the place of an old one."""
        return self._place.validate(value, "", old)


class Place:
    """One place in a schema. Children are made on first use."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._children: dict[str, Place] = {}
        self._checks: tuple[tuple[str, Check], ...] | None = None
        self._items: Place | None = None
        self.kinds = _kinds(raw)
        self.keys: tuple[str, ...] | None = None
        if raw.get("x-kubernetes-list-type") == "map":
            self.keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        more = raw.get("additionalProperties")
        self._values = Place(more) if isinstance(more, Mapping) else None
        self._closed = more is False

    def validate(self, value: Any, path: str, old: Any) -> Result:
        """Returns what is wrong with a value."""
        result = Result()
        if value is None:
            self._check_null(path, result)
        else:
            kind = numbers.kind_of(value)
            for wanted, check in self._ready():
                if not wanted or kind in wanted:
                    check(value, path, old, result)
                    result.matches += 1
            result.matches += 1
        if result.mistakes and old is not ABSENT and equal(value, old):
            result.excuse()
        return result

    def _check_null(self, path: str, result: Result) -> None:
        if self.kinds and not self._raw.get("nullable"):
            result.add(_wrong_type(path, ",".join(self.kinds), "null"))
        else:
            result.matches += 1
        if enum := self._raw.get("enum"):
            result.add(_not_listed(path, None, enum))

    def _ready(self) -> tuple[tuple[str, Check], ...]:
        if self._checks is None:
            self._checks = tuple(_checks(self._raw, self))
        return self._checks

    def child(self, name: str) -> Place | None:
        """Returns what stands under a name, None where the schema says nothing of it."""
        if (found := self._children.get(name)) is None:
            raw = (self._raw.get("properties") or {}).get(name)
            if raw is None:
                return self._values
            found = self._children[name] = Place(raw)
        return found

    def check_object(self, value: Any, path: str, old: Any, result: Result) -> None:
        """Checks names and values of an object."""
        raw, named = self._raw, self._raw.get("properties") or {}
        _check_size(raw, "Properties", "properties", len(value), path, result)
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            if name not in named and self._closed:
                text = f"{path}.{name} in body is a forbidden property"
                result.add(Mistake("", path, text, name))
            elif (child := self.child(name)) is not None:
                inner = f"{path}.{name}" if path or name not in named else name
                result.merge(child.validate(item, inner, before.get(name, ABSENT)))
        for name in raw.get("required") or ():
            if name not in value:
                result.add(Mistake("required", f"{path}.{name}", f"{path}.{name} in body required"))

    def check_list(self, value: Any, path: str, old: Any, result: Result) -> None:
        """Checks the items of a list; those of a map of items are told apart by their keys."""
        items = self._raw.get("items")
        if isinstance(items, Mapping):
            if self._items is None:
                self._items = Place(items)
            before = self._before(old)
            for index, item in enumerate(value):
                known = before.get(_key(item, self.keys or ()), ABSENT) if before else ABSENT
                result.merge(self._items.validate(item, f"{path}[{index}]", known))
        _check_size(self._raw, "Items", "items", len(value), path, result)
        if self._raw.get("uniqueItems") and any(
            equal(one, other) for at, one in enumerate(value) for other in value[:at]
        ):
            result.add(Mistake("", path, f"{path} in body shouldn't contain duplicates"))
        result.matches += 1

    def _before(self, old: Any) -> dict[tuple[str, ...], Any]:
        if self.keys is None or not isinstance(old, list):
            return {}
        found: dict[tuple[str, ...], Any] = {}
        for item in old:
            if isinstance(item, dict):
                found.setdefault(_key(item, self.keys), item)
        return found


def _kinds(raw: Raw) -> tuple[str, ...]:
    if raw.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    return (raw["type"],) if raw.get("type") else ()


def _key(item: Any, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(repr(item.get(name)) for name in names) if isinstance(item, dict) else ()


def _checks(raw: Raw, place: Place) -> Iterable[tuple[str, Check]]:
    """Yields the checks of one place with the types they look at, in upstream's order."""
    kind = place.kinds[0] if len(place.kinds) == 1 else ""
    form = raw.get("format") or ""
    form = form if form and formats.is_known(kind, form) else ""
    if place.kinds or form:
        yield "", _type_check(place.kinds, form)
    yield "", _junctor_check(raw)
    yield "string", _text_check(raw)
    if form and (is_formed := formats.checker(form)) is not None:
        yield "string", _format_check(form, is_formed)
    yield "integer number", _number_check(raw, kind, form)
    yield "array", place.check_list
    if enum := raw.get("enum"):
        yield "", _enum_check(enum)
    else:
        yield "", lambda _value, _path, _old, _result: None
    yield "object", place.check_object


def _wrong_type(path: str, wanted: str, found: str) -> Mistake:
    return Mistake("type", path, f"{path} in body must be of type {wanted}: {quote(found)}", found)


def _type_check(kinds: tuple[str, ...], form: str) -> Check:
    listed = ",".join(kinds)
    numeric = "integer" in kinds or "number" in kinds

    def check(value: Any, path: str, _old: Any, result: Result) -> None:
        kind = numbers.kind_of(value)
        fits = kind in kinds or (kind == "integer" and "number" in kinds)
        if kind == "number" and "integer" in kinds and numbers.is_whole(value):
            fits = True
        if form and not numeric and kind in ("string", "array"):
            fits = True
        elif form and not fits and kind not in ("string", "array"):
            result.add(_wrong_type(path, form, _format_of(kind)))
            return
        if fits:
            result.matches += 1
        else:
            result.add(_wrong_type(path, listed, kind))

    return check


def _format_of(kind: str) -> str:
    return {"integer": "int64", "number": "float64"}.get(kind, "")


def _junctor_check(raw: Raw) -> Check:
    every, any_of = _places(raw, "allOf"), _places(raw, "anyOf")
    one_of, without = _places(raw, "oneOf"), raw.get("not")
    no = Place(without) if isinstance(without, Mapping) else None

    def check(value: Any, path: str, _old: Any, result: Result) -> None:
        if any_of:
            _check_any(any_of, value, path, result)
        if one_of:
            _check_one(one_of, value, path, result)
        if every:
            _check_all(every, value, path, result)
        if no is not None and not no.validate(value, path, ABSENT).mistakes:
            result.add(_plain(f"{quote(path)} must not validate the schema (not)"))
        result.matches += 1

    return check


def _places(raw: Raw, name: str) -> list[Place]:
    return [Place(one) for one in raw.get(name) or ()]


def _plain(text: str) -> Mistake:
    return Mistake("plain", "", text)


def _best(results: Sequence[Result]) -> Result:
    """Returns the first of those that fitted most."""
    best = results[0]
    for result in results[1:]:
        if result.matches > best.matches:
            best = result
    return best


def _check_any(places: Sequence[Place], value: Any, path: str, result: Result) -> None:
    failed = []
    for place in places:
        found = place.validate(value, path, ABSENT)
        if not found.mistakes:
            result.merge(found)
            return
        failed.append(found)
    result.add(_plain(f"{quote(path)} must validate at least one schema (anyOf)"))
    result.merge(_best(failed))


def _check_one(places: Sequence[Place], value: Any, path: str, result: Result) -> None:
    found = [place.validate(value, path, ABSENT) for place in places]
    good = [one for one in found if not one.mistakes]
    if len(good) == 1:
        result.merge(good[0])
        return
    told = f"Found {len(good)} valid alternatives" if good else "Found none valid"
    result.add(_plain(f"{quote(path)} must validate one and only one schema (oneOf). {told}"))
    if not good:
        result.merge(_best(found))


def _check_all(places: Sequence[Place], value: Any, path: str, result: Result) -> None:
    good = 0
    for place in places:
        found = place.validate(value, path, ABSENT)
        good += not found.mistakes
        result.merge(found)
    if good != len(places):
        told = "" if good else ". None validated"
        result.add(_plain(f"{quote(path)} must validate all the schemas (allOf){told}"))


def _text_check(raw: Raw) -> Check:
    most, least = raw.get("maxLength"), raw.get("minLength")
    pattern = raw.get("pattern") or ""

    def check(value: Any, path: str, _old: Any, result: Result) -> None:
        if most is not None and len(value) > most:
            text = f"{path} in body should be at most {most} chars long"
            result.add(Mistake("long", path, text, value, most))
        elif least is not None and len(value) < least:
            text = f"{path} in body should be at least {least} chars long"
            result.add(Mistake("", path, text, value))
        elif pattern and (wrong := _mismatch(pattern, value)):
            result.add(Mistake("", path, f"{path} in body should match '{wrong}'", value))

    return check


def _mismatch(pattern: str, value: str) -> str:
    """Returns what a text should match, empty where it does."""
    try:
        return "" if patterns.matcher(pattern)(value) else pattern
    except patterns.BadPattern as error:
        return f"{pattern}, but pattern is invalid: {error}"


def _format_check(form: str, is_formed: formats.Is) -> Check:
    def check(value: Any, path: str, _old: Any, result: Result) -> None:
        if not is_formed(value):
            result.add(_wrong_type(path, form, value))

    return check


def _number_check(raw: Raw, kind: str, form: str) -> Check:
    number_kind = kind if kind in ("integer", "number") else ""
    limits = _limits(raw)

    def fits(value: float, what: str, path: str, result: Result) -> bool:
        if numbers.in_range(value, number_kind, form):
            return True
        told = f"with format {form}" if form else "(default format)"
        result.add(_plain(f"{what} value must be of type {number_kind} {told} in {path}"))
        return False

    def check(value: Any, path: str, _old: Any, result: Result) -> None:
        fits(value, "Checked", path, result)
        for limit, what, is_wrong, words in limits:
            exact = fits(limit, what, path, result) and numbers.kind_of(value) == "integer"
            bound = int(limit) if exact else limit
            if what == "MultipleOf" and bound <= 0:
                text = f"factor MultipleOf declared for {path} must be positive: "
                result.add(Mistake("", path, text + numbers.printed(bound), value))
            elif is_wrong(value, bound):
                text = f"{path} in body should be {words} {numbers.printed(bound)}"
                result.add(Mistake("", path, text, value))
        result.matches += 1

    return check


Limit = tuple[float, str, Callable[[Any, Any], bool], str]


def _limits(raw: Raw) -> list[Limit]:
    found: list[Limit] = []
    if (factor := raw.get("multipleOf")) is not None:
        found.append((factor, "MultipleOf", _is_no_multiple, "a multiple of"))
    if (most := raw.get("maximum")) is not None:
        found.append(
            (most, "Maximum boundary", lambda value, bound: value >= bound, "less than")
            if raw.get("exclusiveMaximum")
            else (most, "Maximum boundary", lambda value, bound: value > bound, _UP_TO)
        )
    if (least := raw.get("minimum")) is not None:
        found.append(
            (least, "Minimum boundary", lambda value, bound: value <= bound, "greater than")
            if raw.get("exclusiveMinimum")
            else (least, "Minimum boundary", lambda value, bound: value < bound, _FROM)
        )
    return found


_UP_TO: Final = "less than or equal to"
_FROM: Final = "greater than or equal to"


def _is_no_multiple(value: Any, factor: Any) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor != 0
    quotient = 1 / factor * value if factor < 1 else value / factor
    return not numbers.is_whole(quotient)


def _enum_check(enum: Sequence[Any]) -> Check:
    def check(value: Any, path: str, _old: Any, result: Result) -> None:
        if not any(one is not None and _is_same(value, one) for one in enum):
            result.add(_not_listed(path, value, enum))

    return check


def _is_same(value: Any, listed: Any) -> bool:
    if equal(value, listed):
        return True
    # Go converts a number to the listed value's type before it compares
    return type(value) is float and isfinite(value) and type(listed) is int and int(value) == listed


def _not_listed(path: str, value: Any, enum: Sequence[Any]) -> Mistake:
    return Mistake("enum", path, f"{path} in body should be one of {enum}", value, enum)


def _check_size(raw: Raw, what: str, word: str, size: int, path: str, result: Result) -> None:
    least, most = raw.get(f"min{what}"), raw.get(f"max{what}")
    if least is not None and size < least:
        text = f"{path} in body should have at least {least} {word}"
        result.add(Mistake("", path, text, size))
    if most is not None and size > most:
        text = f"{path} in body should have at most {most} {word}"
        result.add(Mistake("many", path, text, size, most))
