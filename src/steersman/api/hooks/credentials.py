"""As whom admission webhooks are asked: the users of a kubeconfig, found by the name of the server.

Follows apiserver's util/webhook/authentication.go. Nothing is read here but the file that an
AdmissionConfiguration names, once; a token's file is read for each question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from steersman.client.kubeconfig import Users, UserSettings

VERSION: Final = "apiserver.config.k8s.io/v1"
KIND: Final = "WebhookAdmissionConfiguration"
PLUGINS: Final = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")
_HTTPS: Final = 443
_STATIC: Final = "staticManifestsDir"


class _Configuration(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    kind: str = ""
    api_version: str = ""
    kube_config_file: str = ""
    static_manifests_dir: str = ""


def parse(document: Any, read: Callable[[Path], Users]) -> Users:
    """Returns the users that a plugin's configuration names, none for none; raises ValueError."""
    if document is None:
        return Users()
    try:
        found = msgspec.convert(document, _Configuration)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if (found.kind, found.api_version) != (KIND, VERSION):
        raise ValueError(f"it is no {KIND} of {VERSION}")
    if found.static_manifests_dir:
        raise ValueError(f"{_STATIC}: webhooks of files are not supported, store them in the API")
    if not (name := found.kube_config_file):
        return Users()
    if not (path := Path(name)).is_absolute():
        what = "must be an absolute file path"
        raise ValueError(f'kubeConfigFile: Invalid value: "{name}": {what}')
    return read(path)


def user_for(users: Users, host: str, port: int) -> UserSettings | None:
    """Returns as whom a server is asked: the user called after it, after a part of its name
    behind a star, after everybody (`*`), or the one of the current context; None for nobody."""
    for name in _names(host, port):
        if (found := users.named.get(name)) is not None:
            return found
    return users.named.get(users.current)


def _names(host: str, port: int) -> Iterator[str]:
    shown = f"[{host}]" if ":" in host else host
    targets = [f"{shown}:{port}", *([host] if port == _HTTPS else [])]
    for target in targets:
        yield target
        steps = target.split(".")
        yield from (f"*.{'.'.join(steps[index:])}" for index in range(1, len(steps)))
    yield "*"
