"""The options that turn admission plugins on and off, and the file that configures some of them.

Options go by upstream's names and refuse in upstream's words.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from steersman.cli.failure import Failure, why

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.admission.plugins.registry import AdmissionSettings
    from steersman.client.http import Target
    from steersman.client.kubeconfig import Users

ON: Final = "enable-admission-plugins"
OFF: Final = "disable-admission-plugins"
FILE: Final = "admission-control-config-file"
_STATES: Final = ("not-ready", "unreachable")
VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")
# Plugins that a file may configure, and those whose settings may stand alone in it
CONFIGURED: Final = (
    "EventRateLimit",
    "ImagePolicyWebhook",
    "MutatingAdmissionWebhook",
    "PodNodeSelector",
    "PodSecurity",
    "PodTolerationRestriction",
    "ResourceQuota",
    "ValidatingAdmissionWebhook",
)
_ALONE: Final = {
    "imagePolicy": "ImagePolicyWebhook",
    "podNodeSelectorPluginConfig": "PodNodeSelector",
}
_TOLERATIONS: Final = "podtolerationrestriction.admission.k8s.io/v1alpha1"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = "admission plugins to turn on beside the usual ones, by commas"
    parser.add_argument(f"--{ON}", action="append", metavar="NAMES", help=text)
    text = "usual admission plugins to turn off, by commas"
    parser.add_argument(f"--{OFF}", action="append", metavar="NAMES", help=text)
    text = "an AdmissionConfiguration: what plugins are told"
    parser.add_argument(f"--{FILE}", type=Path, metavar="FILE", help=text)
    for state in _STATES:
        text = f"how long new pods stay on a node that is {state} (default: 300)"
        parser.add_argument(_option(state), type=int, metavar="N", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    found = [f"--{ON}={names}" for names in arguments.enable_admission_plugins or ()]
    found += [f"--{OFF}={names}" for names in arguments.disable_admission_plugins or ()]
    if (path := arguments.admission_control_config_file) is not None:
        found.append(f"--{FILE}={path.resolve()}")
    for state in _STATES:
        if (seconds := _seconds(arguments, state)) is not None:
            found.append(f"{_option(state)}={seconds}")
    return found


def _option(state: str) -> str:
    return f"--default-{state}-toleration-seconds"


def _seconds(arguments: argparse.Namespace, state: str) -> int | None:
    name = _option(state)[2:].replace("-", "_")
    found: int | None = getattr(arguments, name)
    return found


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be."""
    if words(arguments):
        settings(arguments)


def settings(arguments: argparse.Namespace) -> AdmissionSettings:
    """Returns what the options and their file say; raises Failure."""
    from steersman.api.admission.plugins import registry

    on = _names(arguments.enable_admission_plugins)
    off = _names(arguments.disable_admission_plugins)
    for option, names in ((ON, on), (OFF, off)):
        for name in names:
            if name not in registry.ORDER:
                raise Failure(f'{option} plugin "{name}" is unknown')
    if both := sorted(set(on) & set(off)):
        raise Failure(f"[{' '.join(both)}] in {ON} and {OFF} overlapped")
    plugins = registry.enabled(on, off)
    found = _configured(plugins, arguments.admission_control_config_file)
    seconds = {
        f"{state.replace('-', '_')}_seconds": given
        for state in _STATES
        if (given := _seconds(arguments, state)) is not None
    }
    return structs.replace(found, **seconds) if seconds else found


def _names(given: Sequence[str] | None) -> list[str]:
    return [name for text in given or () for name in text.split(",") if name]


def _configured(plugins: Sequence[str], path: Path | None) -> AdmissionSettings:
    from steersman.api.admission import quota_limited
    from steersman.api.admission.plugins import event_rate, image_policy
    from steersman.api.admission.plugins.registry import AdmissionSettings
    from steersman.api.admission.pod_security import configuration
    from steersman.api.hooks import credentials

    found = {} if path is None else _read(path, plugins)
    limits: Sequence[event_rate.Limit] = ()
    policy = None
    selectors, tolerations = found.get("PodNodeSelector"), found.get("PodTolerationRestriction")
    try:
        if (name := "EventRateLimit") in plugins:
            limits = event_rate.parse(found.get(name))
        if (name := "ImagePolicyWebhook") in plugins:
            policy = image_policy.parse(found.get(name), _target)
        name = "PodNodeSelector"
        selected = _selectors(selectors)
        name = "PodTolerationRestriction"
        tolerated = _tolerations(tolerations)
        name = "PodSecurity"
        secured = configuration.parse(found.get(name))
        name = "ResourceQuota"
        limited = quota_limited.parse(found.get(name))
        users = {}
        for name in set(credentials.PLUGINS) & set(found):
            users[name] = credentials.parse(found[name], _users)
    except ValueError as error:
        raise Failure(f"failed to initialize admission plugin {name!r}: {error}") from error
    return AdmissionSettings(plugins, limits, policy, selected, tolerated, secured, limited, users)


def _target(path: Path) -> Target:
    from steersman.client import kubeconfig

    try:
        return kubeconfig.read(path)
    except kubeconfig.BadKubeconfig as error:
        raise ValueError(str(error)) from error


def _users(path: Path) -> Users:
    from steersman.client import kubeconfig

    try:
        return kubeconfig.read_users(path)
    except kubeconfig.BadKubeconfig as error:
        raise ValueError(str(error)) from error


def _read(path: Path, plugins: Sequence[str]) -> Mapping[str, Any]:
    """Returns the configurations in a file by their plugins; raises Failure."""
    document = _load(path)
    if not isinstance(document, dict):
        raise Failure(f"--{FILE} {path}: it holds no map")
    for field, name in _ALONE.items():
        if field in document and "kind" not in document:
            return {name: document}
    if (
        document.get("kind") != "AdmissionConfiguration"
        or document.get("apiVersion") not in VERSIONS
    ):
        raise Failure(f"--{FILE} {path}: it is no AdmissionConfiguration of {VERSIONS[0]}")
    found: dict[str, Any] = {}
    for one in document.get("plugins") or ():
        name = str(one.get("name")) if isinstance(one, dict) else ""
        if name not in CONFIGURED:
            raise Failure(f"--{FILE} {path}: plugin {name!r} takes no configuration")
        inner = one.get("configuration")
        if inner is None and one.get("path"):
            inner = _load(path.parent / one["path"])
        found.setdefault(name, inner)
    return found


def _load(path: Path) -> Any:
    from steersman.wire import yaml

    try:
        return yaml.load(path.read_bytes())
    except (OSError, ValueError) as error:
        what = "unable to read admission control configuration from"
        raise Failure(f'{what} "{path}" [{why(error)}]') from error


def _selectors(document: Any) -> Mapping[str, str]:
    from steersman.api.admission.plugins.namespaces import parse_labels

    if document is None:
        return {}
    found = document.get("podNodeSelectorPluginConfig") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise ValueError("podNodeSelectorPluginConfig: must hold selectors by namespace")
    for text in found.values():
        parse_labels(text)
    return found


def _tolerations(document: Any) -> Mapping[str, Any]:
    if document is None:
        return {}
    if not isinstance(document, dict) or document.get("apiVersion") != _TOLERATIONS:
        raise ValueError(f"it is no Configuration of {_TOLERATIONS}")
    found = {name: document.get(name) or [] for name in ("default", "whitelist")}
    if not all(isinstance(one, list) for one in found.values()):
        raise ValueError("default, whitelist: must be lists of tolerations")
    return found
