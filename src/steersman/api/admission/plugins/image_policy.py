"""ImagePolicyWebhook: somebody outside is asked whether images may run, with an ImageReview.

Follows plugin/pkg/admission/imagepolicy. Nobody waits here: where the answer is not there the write
is broken off by `Awaiting` and begins anew once it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from steersman.api.access.awaiting import Awaiting, fetched
from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import annotations_of, refused, spec_of
from steersman.api.call import Call
from steersman.api.hooks.reviewing import Failed, Reviewing
from steersman.client.http import Target
from steersman.model.kind import Document
from steersman.world.interface import World

GROUP: Final = "imagepolicy.k8s.io/v1alpha1"
MARK: Final = ".image-policy.k8s.io/"
# Answers that are kept
MOST_ANSWERS: Final = 1024
_BOUNDS: Final = {  # name -> what it is called, units in a second, least, most, default (seconds)
    "retryBackoff": ("backoff", 1000.0, 1e-9, 300.0, 0.5),
    "allowTTL": ("allow cache", 1.0, 1.0, 1800.0, 300.0),
    "denyTTL": ("deny cache", 1.0, 1.0, 1800.0, 30.0),
}
_SHOWN: Final = {1e-9: "1ns", 1.0: "1s", 300.0: "5m0s", 1800.0: "30m0s"}


class PolicySettings(msgspec.Struct, frozen=True):
    """Where the webhook is, how long it is believed, whether its silence is a yes."""

    target: Target
    allow_seconds: float = 300.0
    deny_seconds: float = 30.0
    retry_seconds: float = 0.5
    allows: bool = False


class _Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kubeConfigFile: str = ""
    allowTTL: int = 0
    denyTTL: int = 0
    retryBackoff: int = 0
    defaultAllow: bool = False


class _Configuration(msgspec.Struct, frozen=True):
    imagePolicy: _Policy = _Policy()


def parse(document: Any, read: Callable[[Path], Target]) -> PolicySettings:
    """Returns what a configuration says; raises ValueError. `read` reads a kubeconfig."""
    try:
        found = msgspec.convert(document if document is not None else {}, _Configuration)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    policy = found.imagePolicy
    if not policy.kubeConfigFile:
        raise ValueError("imagePolicy.kubeConfigFile: Required value")
    return PolicySettings(
        read(Path(policy.kubeConfigFile)),
        _seconds("allowTTL", policy.allowTTL),
        _seconds("denyTTL", policy.denyTTL),
        _seconds("retryBackoff", policy.retryBackoff),
        policy.defaultAllow,
    )


def _seconds(name: str, given: int) -> float:
    """Returns a time in seconds: -1 is none, 0 the default."""
    _, units, least, most, default = _BOUNDS[name]
    if given in (-1, 0):
        return default if given == 0 else 0.0
    seconds = given / units
    if seconds <= least or seconds > most:
        shown = f"valid value is between {_SHOWN[least]} and {_SHOWN[most]}, got {seconds:g}s"
        raise ValueError(f"imagePolicy.{name}: {shown}")
    return seconds


class ImagePolicyWebhook(Plugin):
    """See the module."""

    name = "ImagePolicyWebhook"
    about = frozenset({"Pod"})

    def __init__(self, settings: PolicySettings, world: World) -> None:
        self._settings = settings
        self._world = world
        self._reviewing = Reviewing(settings.target, world, pause_seconds=settings.retry_seconds)
        self._answers: dict[bytes, tuple[float, Document]] = {}

    def check(self, change: Change) -> None:
        """Refuses a pod whose images may not run; raises Awaiting before that is known."""
        spec = _spec(change)
        if spec is None:
            return
        status = self._status(orjson.dumps(spec))
        if (wrong := status.get("error")) is not None:
            if not self._settings.allows:
                raise refused(change, str(wrong))
            return
        if status.get("allowed") is not True:
            why = "one or more images rejected by webhook backend"
            if reason := status.get("reason"):
                why = f"image policy webhook backend denied one or more images: {reason}"
            raise refused(change, why)

    def _status(self, key: bytes) -> Document:
        held = self._answers.get(key)
        if held is not None and held[0] > self._world.monotonic():
            return held[1]
        found: Document | None = fetched().get((self, key))
        if found is None:
            raise Awaiting(partial(self._fetch, key))
        return found

    async def _fetch(self, key: bytes) -> None:
        review = {
            "kind": "ImageReview",
            "apiVersion": GROUP,
            "metadata": {},
            "spec": orjson.Fragment(key),
            "status": {"allowed": False},
        }
        try:
            answer = await self._reviewing.ask(orjson.dumps(review))
        except Failed as error:
            fetched()[self, key] = {"error": str(error)}
            return
        found = answer.get("status") if isinstance(answer, dict) else None
        status = found if isinstance(found, dict) else {}
        fetched()[self, key] = status
        settings, allowed = self._settings, status.get("allowed") is True
        seconds = settings.allow_seconds if allowed else settings.deny_seconds
        if seconds > 0:
            if len(self._answers) >= MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = (self._world.monotonic() + seconds, status)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the webhook, for pods."""
        return None if call.kind.name == "Pod" and not call.kind.group else ()


def _spec(change: Change) -> Document | None:
    """Returns what is asked about a pod, None where nothing is."""
    call = change.call
    if change.new is None or call.kind.name != "Pod" or call.kind.group:
        return None
    if call.subresource not in ("", "ephemeralcontainers"):
        return None
    fields = ("containers", "initContainers") if not call.subresource else ("ephemeralContainers",)
    pod = spec_of(change.new)
    images = [{"image": one.get("image", "")} for name in fields for one in pod.get(name) or ()]
    marked = {key: text for key, text in annotations_of(change.new).items() if MARK in key}
    spec: Document = {"containers": images, "namespace": call.namespace}
    return {**spec, "annotations": marked} if marked else spec
