"""secret: the keys of a Secret as files, in memory only. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.model.types.volume import KeyToPath
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.volumes.config_map import keyed
from steersman.node.volumes.tree import File


def render(
    name: str, items: Sequence[KeyToPath], optional: bool, objects: Objects, default_mode: int
) -> dict[str, File]:
    """Returns the files; raises BadConfiguration for what must be there and is not."""
    found = objects.secret(name, optional)
    try:
        return keyed(found.data if found else {}, items, default_mode, optional)
    except BadConfiguration as error:
        text = str(error).replace("config key", "secret key")
        raise BadConfiguration(text) from None
