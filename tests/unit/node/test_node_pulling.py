"""How a container's image is had: who is asked by which policy, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from node_documents import pod

from steersman.images.credentials import Login
from steersman.images.errors import ImageError, InvalidReference
from steersman.images.pull import NotPresent
from steersman.model.kinds.pod import Pod
from steersman.node.acting.pulling import Failed, Pulled, pull
from steersman.node.credentials.access import Access, Source
from steersman.node.credentials.providers import Providers
from steersman.node.observed import Trouble
from steersman.node.paths import Paths
from steersman.node.tools import Tools
from steersman.world.interface import World
from steersman.world.simulated import simulate

IMAGE = "busybox"


class Image:
    """An image, as far as it is looked at."""

    size_bytes = 12
    digest = "sha256:1"


class Held:
    """The means of a node as far as pulling takes them: an image store that has the image or not,
    and a registry that gives it or fails."""

    def __init__(self, world: World, here: bool, error: ImageError | None) -> None:
        self.world = world
        self.images = self
        self.pulls = self
        self.paths = Paths(Path("/nowhere"))
        self.providers = Providers((), Path(), cast(Any, None), cast(Any, None), world)
        self.asked: list[str] = []
        self.said: list[str] = []
        self._here = here
        self._error = error

    def say(self, _pod: Pod, _kind: str, reason: str, note: str, _container: str = "") -> None:
        self.said.append(f"{reason}: {note}")

    async def ensure(self, text: str, policy: str) -> Image:
        assert text == IMAGE
        self.asked.append(policy)
        if policy == "Never" and not self._here:
            raise NotPresent("no")
        if policy != "Never" and self._error is not None:
            raise self._error
        return Image()

    def may_have(self, _digest: str, _access: Access) -> bool:
        return True

    async def note(self, _digest: str, login: Login | None, source: Source) -> None:
        assert (login, source) == (None, Source())

    async def rootfs(self, _image: Image) -> list[Path]:
        return [Path("lowest"), Path("middle"), Path("top")]


def pulled(
    policy: str, *, here: bool, error: ImageError | None = None
) -> tuple[Held, Pulled | Failed, float]:
    """Has an image by a policy; returns the means, what came of it and the time at which."""
    given = pod(image=IMAGE, imagePullPolicy=policy)

    async def main(world: World) -> tuple[Held, Pulled | Failed, float]:
        held = Held(world, here, error)
        try:
            found = await pull(cast(Tools, held), given, given.spec.containers[0], 10.0)
        except Failed as failed:
            return held, failed, world.now()
        return held, found, world.now()

    return simulate(1, main)


@pytest.mark.parametrize(
    ("policy", "here", "asked"),
    [
        ("Always", True, ["Always"]),
        ("Always", False, ["Always"]),
        ("IfNotPresent", True, ["Never"]),
        ("IfNotPresent", False, ["Never", "IfNotPresent"]),
        ("Never", True, ["Never"]),
    ],
)
def test_the_policy_decides_who_is_asked(policy: str, here: bool, asked: list[str]) -> None:
    held, found, _ = pulled(policy, here=here)
    assert held.asked == asked
    assert isinstance(found, Pulled)
    assert found.layers == [Path("top"), Path("middle"), Path("lowest")]
    if asked[-1] == "Never":
        note = (
            f'Container image "{IMAGE}" already present on machine and can be accessed by the pod'
        )
        assert held.said == [f"Pulled: {note}"]
    else:
        took = f'Successfully pulled image "{IMAGE}" in 0ms (0ms including waiting).'
        first = f'Pulling: Pulling image "{IMAGE}"'
        assert held.said == [first, f"Pulled: {took} Image size: 12 bytes."]


def test_an_image_that_is_never_to_be_pulled_and_is_not_here_is_waited_for() -> None:
    held, failed, now = pulled("Never", here=False)
    assert held.asked == ["Never"]
    text = f'Container image "{IMAGE}" is not present with pull policy of Never'
    assert isinstance(failed, Failed)
    assert failed.trouble == Trouble("ErrImageNeverPull", text, now + 10)
    assert failed.then is None
    assert held.said == [f"ErrImageNeverPull: {text}", "Failed: Error: ErrImageNeverPull"]


def test_a_pull_that_fails_is_told_and_then_backs_off() -> None:
    held, failed, now = pulled("IfNotPresent", here=False, error=ImageError("no route"))
    assert isinstance(failed, Failed)
    assert failed.trouble == Trouble("ErrImagePull", "no route", now + 10)
    text = f'Back-off pulling image "{IMAGE}": ErrImagePull: no route'
    assert failed.then == Trouble("ImagePullBackOff", text, now + 10)
    assert held.said[1:] == [
        f'Failed: Failed to pull image "{IMAGE}": no route',
        "Failed: Error: ErrImagePull",
    ]


def test_a_name_that_is_none_does_not_back_off() -> None:
    held, failed, now = pulled("Always", here=True, error=InvalidReference("invalid"))
    assert isinstance(failed, Failed)
    text = f'Failed to apply default image tag "{IMAGE}": '
    text += f'couldn\'t parse image name "{IMAGE}": invalid'
    assert (failed.trouble, failed.then) == (Trouble("InvalidImageName", text, now + 10), None)
    assert held.said[1:] == [f"InspectFailed: {text}", "Failed: Error: InvalidImageName"]
