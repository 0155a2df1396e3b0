"""configMap: the keys of a ConfigMap as files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steersman.model.types.volume import ConfigMapVolume, KeyToPath
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.volumes.tree import File, check_path


def render(volume: ConfigMapVolume, objects: Objects, default_mode: int) -> dict[str, File]:
    """Returns the files; raises BadConfiguration for what must be there and is not."""
    found = objects.config_map(volume.name, volume.optional)
    data: dict[str, bytes] = {}
    if found is not None:
        data = {key: text.encode() for key, text in found.data.items()}
        data |= dict(found.binary_data)
    return keyed(data, volume.items, default_mode, volume.optional)


def keyed(
    data: Mapping[str, bytes], items: Sequence[KeyToPath], default_mode: int, optional: bool
) -> dict[str, File]:
    """Returns all keys as files of their names, or the chosen ones at their paths."""
    if not items:
        return {key: File(content, default_mode) for key, content in data.items()}
    files = {}
    for item in items:
        if item.key not in data:
            if optional:
                continue
            raise BadConfiguration(f"configmap references non-existent config key: {item.key}")
        mode = default_mode if item.mode is None else item.mode
        files[check_path(item.path)] = File(data[item.key], mode)
    return files
