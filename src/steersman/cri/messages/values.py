"""Values that messages of several kinds have.

Names and numbers are those of the CRI, version v1 (kubernetes/cri-api, api.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

# NamespaceMode
POD, CONTAINER, NODE, TARGET = range(4)
# ProfileType
RUNTIME_DEFAULT, UNCONFINED, LOCALHOST = range(3)


class Int64Value(msgspec.Struct, frozen=True):
    value: Annotated[int, 1] = 0


class UInt64Value(msgspec.Struct, frozen=True):
    value: Annotated[int, 1] = 0


class KeyValue(msgspec.Struct, frozen=True):
    key: Annotated[str, 1] = ""
    value: Annotated[bytes, 2] = b""


class IDMapping(msgspec.Struct, frozen=True):
    host_id: Annotated[int, 1] = 0
    container_id: Annotated[int, 2] = 0
    length: Annotated[int, 3] = 0


class UserNamespace(msgspec.Struct, frozen=True):
    mode: Annotated[int, 1] = 0
    uids: Annotated[tuple[IDMapping, ...], 2] = ()
    gids: Annotated[tuple[IDMapping, ...], 3] = ()


class NamespaceOption(msgspec.Struct, frozen=True):
    network: Annotated[int, 1] = 0
    pid: Annotated[int, 2] = 0
    ipc: Annotated[int, 3] = 0
    target_id: Annotated[str, 4] = ""
    userns_options: Annotated[UserNamespace | None, 5] = None


class SELinuxOption(msgspec.Struct, frozen=True):
    user: Annotated[str, 1] = ""
    role: Annotated[str, 2] = ""
    type: Annotated[str, 3] = ""
    level: Annotated[str, 4] = ""


class SecurityProfile(msgspec.Struct, frozen=True):
    profile_type: Annotated[int, 1] = 0
    localhost_ref: Annotated[str, 2] = ""


class HugepageLimit(msgspec.Struct, frozen=True):
    page_size: Annotated[str, 1] = ""
    limit: Annotated[int, 2] = 0


class LinuxContainerResources(msgspec.Struct, frozen=True):
    cpu_period: Annotated[int, 1] = 0
    cpu_quota: Annotated[int, 2] = 0
    cpu_shares: Annotated[int, 3] = 0
    memory_limit_in_bytes: Annotated[int, 4] = 0
    oom_score_adj: Annotated[int, 5] = 0
    cpuset_cpus: Annotated[str, 6] = ""
    cpuset_mems: Annotated[str, 7] = ""
    hugepage_limits: Annotated[tuple[HugepageLimit, ...], 8] = ()
    unified: Annotated[Mapping[str, str], 9] = {}
    memory_swap_limit_in_bytes: Annotated[int, 10] = 0


class ImageSpec(msgspec.Struct, frozen=True):
    image: Annotated[str, 1] = ""
    annotations: Annotated[Mapping[str, str], 2] = {}
    user_specified_image: Annotated[str, 18] = ""
    runtime_handler: Annotated[str, 19] = ""
    image_ref: Annotated[str, 20] = ""


class AuthConfig(msgspec.Struct, frozen=True):
    username: Annotated[str, 1] = ""
    password: Annotated[str, 2] = ""
    auth: Annotated[str, 3] = ""
    server_address: Annotated[str, 4] = ""
    identity_token: Annotated[str, 5] = ""
    registry_token: Annotated[str, 6] = ""
