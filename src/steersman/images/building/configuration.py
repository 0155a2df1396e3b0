"""What ENV, LABEL, EXPOSE, CMD, ENTRYPOINT, USER and STOPSIGNAL do to an image's configuration.

Pure: a configuration and an instruction in, a configuration out. Follows docs.docker.com's
Dockerfile reference.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from steersman.images.building.containerfile import Instruction
from steersman.images.documents import RunConfig
from steersman.images.errors import Refused

SHELL = ("/bin/sh", "-c")
PROTOCOLS = ("tcp", "udp", "sctp")
PORT_LIMIT = 65535

Expand = Callable[[str], str]


def change(
    run: RunConfig, instruction: Instruction, expand: Expand, *, has_own_cmd: bool
) -> RunConfig:
    """The configuration after an instruction; `expand` replaces variables. Raises Refused.

    `has_own_cmd`: whether this build, rather than the image it starts from, has set CMD.
    """
    match instruction.name:
        case "CMD":
            return replace(run, cmd=argv(instruction))
        case "ENTRYPOINT":  # an inherited CMD belongs to the inherited entry point
            cmd = run.cmd if has_own_cmd else None
            return replace(run, entrypoint=argv(instruction) or None, cmd=cmd)
        case "ENV":
            env = {**env_of(run), **_pairs(instruction, expand)}
            return replace(run, env=tuple(f"{name}={value}" for name, value in env.items()))
        case "LABEL":
            return replace(run, labels={**(run.labels or {}), **_pairs(instruction, expand)})
        case "EXPOSE":
            return replace(run, exposed_ports=_ports(run, instruction, expand))
        case "STOPSIGNAL":
            return replace(run, stop_signal=expand(instruction.words[0]))
        case "USER":
            return replace(run, user=expand(instruction.words[0]))
    raise Refused(f"{instruction.name} does not change the configuration")


def env_of(run: RunConfig) -> dict[str, str]:
    """The environment as a mapping."""
    return {name: value for name, _, value in (each.partition("=") for each in run.env or ())}


def argv(instruction: Instruction) -> tuple[str, ...]:
    """The argument vector of a RUN, CMD or ENTRYPOINT; the shell form runs in /bin/sh."""
    return instruction.words if instruction.exec_form else (*SHELL, instruction.words[0])


def _pairs(instruction: Instruction, expand: Expand) -> dict[str, str]:
    expanded = [expand(word) for word in instruction.words]
    return dict(zip(expanded[::2], expanded[1::2], strict=True))


def _ports(
    run: RunConfig, instruction: Instruction, expand: Expand
) -> Mapping[str, Mapping[str, str]]:
    added = [port for word in instruction.words for port in expand(word).split()]
    return {**(run.exposed_ports or {}), **{_port(text): {} for text in added}}


def _port(text: str) -> str:
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    numbers = number.split("-", 1)
    if protocol not in PROTOCOLS or not all(map(_is_port, numbers)):
        raise Refused(f"invalid containerPort: {text}")
    return f"{number}/{protocol}"


def _is_port(text: str) -> bool:
    return text.isdecimal() and len(text) <= 5 and 0 < int(text) <= PORT_LIMIT
