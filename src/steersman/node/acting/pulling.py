"""Brings a container's image here, and tells how that goes in the kubelet's words.

Failures back off from ten seconds to five minutes; a container waits with ErrImagePull first and
with ImagePullBackOff from the next look on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from steersman.images.credentials import BadCredentials
from steersman.images.errors import ImageError, InvalidReference
from steersman.images.pull import NotPresent, Policy
from steersman.images.references import parse as parse_reference
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import Secret
from steersman.model.types.container import Container
from steersman.node.credentials.access import (
    Access,
    Source,
    access_to,
    read_node,
    secrets_of,
)
from steersman.node.credentials.records import key_of
from steersman.node.engine.interface import Image
from steersman.node.objects import BadConfiguration, names_of
from steersman.node.observed import Trouble
from steersman.node.tools import Tools
from steersman.node.volumes.image import Pulled as VolumeImage

FIRST_BACKOFF_SECONDS = 10.0  # kubelet's imageBackOffPeriod
LAST_BACKOFF_SECONDS = 300.0  # kubelet's MaxImageBackOff
# How long a failed pull is told as such before it is told as waiting: a pod worker's next look
LOOK_SECONDS = 1.0

Say = Callable[[str, str, str], None]


class Pulled(msgspec.Struct, frozen=True):
    """An image that is here, with its layers from the top down, as the runtime takes them."""

    image: Image
    layers: list[Path]


class Failed(Exception):
    """The image cannot be had now."""

    def __init__(self, trouble: Trouble, then: Trouble | None) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble
        self.then = then


def policy_of(container: Container) -> Policy:
    """Returns when the registry is asked."""
    return cast(Policy, container.image_pull_policy or "IfNotPresent")


async def access_of(tools: Tools, pod: Pod, image: str, changed: Callable[[], None]) -> Access:
    """Returns what a pod has to show for an image; `changed` is called when one of its secrets
    changes. Raises BadConfiguration where the API does not answer, InvalidReference and
    BadCredentials."""
    secrets: list[Secret] = []
    if pod.spec.image_pull_secrets:
        objects = await tools.objects.acquire(pod, names_of(pod), changed)
        secrets, missing = secrets_of(pod, objects)
        if missing:
            note = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
            note += "attempting to pull the image may not succeed."
            tools.say(pod, "Warning", "FailedToRetrieveImagePullSecret", note)
    reference = parse_reference(image)
    provided, failures = await tools.providers.ask(pod, reference)
    for text in failures:
        note = f"Unable to get credentials for image {image}: {text}"
        tools.say(pod, "Warning", "FailedCredentialProvider", note)
    return access_to(reference, secrets, read_node(tools.paths.logins), provided)


async def pull(
    tools: Tools,
    pod: Pod,
    container: Container,
    backoff: float,
    changed: Callable[[], None] = lambda: None,
) -> Pulled:
    """Returns the image; raises Failed, whose troubles last `backoff` seconds."""
    image, policy = container.image, policy_of(container)

    def say(kind: str, reason: str, note: str) -> None:
        tools.say(pod, kind, reason, note, container.name)

    try:
        access = await access_of(tools, pod, image, changed)
        found = None if policy == "Always" else await _here(tools, image)
        if found is not None and not tools.pulls.may_have(key_of(image, found.digest), access):
            found, policy = None, _proven(policy)
        if found is None and policy != "Never":
            say("Normal", "Pulling", f'Pulling image "{image}"')
            found = await _timed(tools, image, policy, access, say)
        elif found is None:
            raise _never(tools, container, backoff, say)
        else:
            text = f'Container image "{image}" already present on machine'
            say("Normal", "Pulled", f"{text} and can be accessed by the pod")
        layers = await tools.images.rootfs(found)
    except BadCredentials as error:
        raise _failed(tools, image, ImageError(str(error)), backoff, say) from error
    except ImageError as error:
        raise _failed(tools, image, error, backoff, say) from error
    return Pulled(found, layers[::-1])


async def pull_volumes(
    tools: Tools, pod: Pod, changed: Callable[[], None]
) -> dict[str, VolumeImage]:
    """Returns the images that are volumes and not mounted yet; raises BadConfiguration where one
    cannot be had."""
    found = {}
    for volume in tools.volumes.unmounted_images(pod):
        assert volume.image is not None
        asked = Container(image=volume.image.reference, image_pull_policy=volume.image.pull_policy)
        try:
            pulled = await pull(tools, pod, asked, FIRST_BACKOFF_SECONDS, changed)
        except Failed as failed:
            trouble = failed.trouble
            raise BadConfiguration(f"{trouble.reason}: {trouble.message}") from failed
        found[volume.name] = VolumeImage(pulled.image.digest, pulled.layers)
    return found


def _proven(policy: Policy) -> Policy:
    """Returns how an image is had that is here and not for this pod: the registry decides."""
    return "Never" if policy == "Never" else "Always"


def _never(tools: Tools, container: Container, backoff: float, say: Say) -> Failed:
    text = f'Container image "{container.image}" is not present with pull policy of Never'
    say("Warning", "ErrImageNeverPull", text)
    say("Warning", "Failed", "Error: ErrImageNeverPull")
    return Failed(Trouble("ErrImageNeverPull", text, tools.world.now() + backoff), None)


async def _here(tools: Tools, image: str) -> Image | None:
    try:
        return await tools.images.ensure(image, "Never")
    except NotPresent:
        return None


async def _timed(tools: Tools, image: str, policy: Policy, access: Access, say: Say) -> Image:
    began = tools.world.now()
    found = await _by_any(tools, image, policy, access)
    took = go_seconds(tools.world.now() - began)
    text = f'Successfully pulled image "{image}" in {took} ({took} including waiting).'
    say("Normal", "Pulled", f"{text} Image size: {found.size_bytes} bytes.")
    return found


async def _by_any(tools: Tools, image: str, policy: Policy, access: Access) -> Image:
    """Pulls by the first login that the registry takes; by nobody's where there is none."""
    if not access.offers:
        found = await tools.images.ensure(image, policy)
        await tools.pulls.note(key_of(image, found.digest), None, Source())
        return found
    failures: list[ImageError] = []
    for offer in access.offers:
        try:
            found = await tools.images.ensure(image, policy, None, offer.login)
        except ImageError as error:
            failures.append(error)
            continue
        await tools.pulls.note(key_of(image, found.digest), offer.login, offer.source)
        return found
    texts = list(dict.fromkeys(map(str, failures)))
    raise type(failures[-1])(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def go_seconds(seconds: float) -> str:
    """Returns a time as Go prints it, in whole milliseconds: 1.234s, 250ms, 1m2.5s."""
    milli = round(seconds * 1000)
    if milli < 1000:
        return f"{milli}ms"
    minutes, rest = divmod(milli, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text


def _failed(tools: Tools, image: str, error: ImageError, backoff: float, say: Say) -> Failed:
    again = tools.world.now() + backoff
    if isinstance(error, InvalidReference):
        text = f'Failed to apply default image tag "{image}": '
        text += f'couldn\'t parse image name "{image}": {error}'
        say("Warning", "InspectFailed", text)
        say("Warning", "Failed", "Error: InvalidImageName")
        return Failed(Trouble("InvalidImageName", text, again), None)
    say("Warning", "Failed", f'Failed to pull image "{image}": {error}')
    say("Warning", "Failed", "Error: ErrImagePull")
    first = Trouble("ErrImagePull", str(error), again)
    text = f'Back-off pulling image "{image}": ErrImagePull: {error}'
    return Failed(first, Trouble("ImagePullBackOff", text, again))


def tell_waiting(tools: Tools, pod: Pod, container: Container) -> None:
    """Tells that a container waits until its image is tried again."""
    note = f'Back-off pulling image "{container.image}"'
    tools.say(pod, "Normal", "BackOff", note, container.name)
    tools.say(pod, "Warning", "Failed", "Error: ImagePullBackOff", container.name)


def next_backoff(before: float) -> float:
    """Returns how long the next failure waits."""
    return min(before * 2, LAST_BACKOFF_SECONDS) if before else FIRST_BACKOFF_SECONDS
