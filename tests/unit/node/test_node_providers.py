"""Credential providers: real programs that answer, fail, hang and talk too much; what is
remembered of them, and what a configuration must say."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from node_documents import pod

from steersman.cli.failure import Failure
from steersman.cli.main import build_parser
from steersman.cli.options import kubelet
from steersman.images.credentials import Login
from steersman.images.references import parse
from steersman.node.credentials import providers as module
from steersman.node.credentials.access import Source, access_to
from steersman.node.credentials.providers import (
    API_VERSION,
    BadProviders,
    Providers,
    parse_providers,
)
from steersman.node.static.marks import FILE
from steersman.node.static.marks import SOURCE as SOURCE_MARK
from steersman.node.volumes.tokens import Tokens
from steersman.world.real import RealWorld

ANN, BOB = Login("ann", "secret"), Login("bob", "hidden")
RESPONSE = "CredentialProviderResponse"
IMAGE = "r.example.com/team/x:1"
# Answers with $ANSWER, counts and keeps what it was asked
PROGRAM = """#!/bin/sh
cat >> "$0.asked"
echo >> "$0.asked"
echo "$0 $* $OWN" >> "$0.run"
cat "$0.answer"
"""


class Client:
    """ServiceAccounts and their tokens."""

    def __init__(self) -> None:
        self.annotations = {"example.com/role": "reader", "other": "x"}
        self.audiences: list[str] = []

    async def get(self, ref: Any) -> Any:
        metadata = SimpleNamespace(uid=f"uid of {ref.name}", annotations=self.annotations)
        return SimpleNamespace(metadata=metadata)

    async def post(self, ref: Any, _subresource: str, document: Any) -> Any:
        self.audiences += document["spec"]["audiences"]
        status = {"token": f"token of {ref.name}", "expirationTimestamp": "2999-01-01T00:00:00Z"}
        return {"status": status}


class Machine:
    """A folder of programs, and a configuration of one provider."""

    def __init__(self, folder: Path, script: str = PROGRAM, **more: Any) -> None:
        self.folder = folder
        self.program = folder / "helper"
        self.program.write_text(script)
        self.program.chmod(0o755)
        entry = {"name": "helper", "matchImages": ["*.example.com/team"], "args": ["--get"],
                 "defaultCacheDuration": "0s", "apiVersion": API_VERSION,
                 "env": [{"name": "OWN", "value": "mine"}], **more}  # fmt: skip
        self.client = Client()
        world = RealWorld()
        found = parse_providers(configuration(entry), folder)
        tokens = Tokens(cast(Any, self.client), world)
        self.providers = Providers(found, folder, cast(Any, self.client), tokens, world)
        self.answer({"*.example.com": ANN})

    def answer(self, logins: dict[str, Login], **more: Any) -> None:
        found = {
            key: {"username": it.username, "password": it.password} for key, it in logins.items()
        }
        answer = {"kind": "CredentialProviderResponse", "apiVersion": API_VERSION,
                  "cacheKeyType": "Image", "auth": found, **more}  # fmt: skip
        Path(f"{self.program}.answer").write_text(json.dumps(answer))

    def ask(
        self, image: str = IMAGE, **fields: Any
    ) -> tuple[list[tuple[Login, Source]], list[str]]:
        reference = parse(image)
        found, failures = asyncio.run(self.providers.ask(pod(**fields), reference))
        offers = access_to(reference, (), (), found).offers
        return [(it.login, it.source) for it in offers], failures

    @property
    def asked(self) -> list[dict[str, Any]]:
        path = Path(f"{self.program}.asked")
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(it) for it in lines]


def configuration(*entries: dict[str, Any], **more: Any) -> bytes:
    document = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig",
                "providers": list(entries), **more}  # fmt: skip
    return json.dumps(document).encode()


def test_a_program_is_asked_for_the_images_that_are_its_own(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.ask() == ([(ANN, Source())], [])
    image = "r.example.com/team/x"
    assert machine.asked == [
        {"kind": "CredentialProviderRequest", "apiVersion": API_VERSION, "image": image}
    ]
    run = Path(f"{machine.program}.run").read_text()
    assert run == f"{machine.program} --get mine\n"
    for other in ("r.example.com/other/x", "example.com/team/x", "r.example.com:5000/team/x"):
        assert machine.ask(other) == ([], [])
    assert len(machine.asked) == 1
    machine.answer({"other.com": ANN})
    assert machine.ask() == ([], [])


@pytest.mark.parametrize(
    ("kind", "asked"),
    [("Image", [2, 3, 4]), ("Registry", [1, 2, 3]), ("Global", [1, 1, 1])],
)
def test_an_answer_is_remembered_for_what_it_is_about(
    tmp_path: Path, kind: str, asked: list[int]
) -> None:
    machine = Machine(tmp_path, defaultCacheDuration="1h", matchImages=["*.example.com"])
    machine.answer({"*.example.com": ANN}, cacheKeyType=kind)
    for _ in range(2):
        assert machine.ask()[0] == [(ANN, Source())]
    assert len(machine.asked) == 1
    counts = []
    images = ("r.example.com/team/y", "s.example.com/team/x", "t.example.com/team/x")
    for image in images:
        machine.ask(image)
        counts.append(len(machine.asked))
    assert counts == asked


def test_an_answer_says_how_long_it_lasts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, defaultCacheDuration="1h")
    machine.answer({"*.example.com": ANN}, cacheDuration="0s")
    machine.ask()
    machine.answer({"*.example.com": BOB})
    assert machine.ask()[0] == [(BOB, Source())]
    machine.answer({"*.example.com": ANN})
    assert machine.ask()[0] == [(BOB, Source())]


def test_no_more_is_remembered_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ANSWERS", 2)
    machine = Machine(tmp_path, defaultCacheDuration="1h")
    for name in "abc":
        machine.ask(f"r.example.com/team/{name}")
    assert len(machine.providers._answers) == 2
    machine.ask("r.example.com/team/c")
    assert len(machine.asked) == 3


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho no such thing >&2; exit 3", "helper: exit status 3: no such thing"),
        ("#!/bin/sh\nexec sleep 60", "helper: no answer in 0 s"),
        ("#!/bin/sh\necho secret", "helper: its answer is none"),
        ("#!/bin/sh\necho '{}'", f"helper: its answer is no {RESPONSE} of {API_VERSION}"),
        ("#!/bin/sh\nhead -c 300000 /dev/zero", "helper: its answer has more than 1000 bytes"),
        ("#!/bin/none\n", "helper: No such file or directory"),
    ],
)  # fmt: skip
def test_a_program_that_fails_hangs_or_talks_too_much_is_told_without_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(module, "RUN_SECONDS", 60.0 if "sleep" not in script else 0.3)
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    machine = Machine(tmp_path, script)
    assert machine.ask() == ([], [why])


@pytest.mark.parametrize(
    "more", [{"cacheDuration": "soon"}, {"auth": {"*.example.com": {"auth": "?"}}}]
)
def test_an_answer_that_cannot_be_used_is_a_failure(tmp_path: Path, more: dict[str, Any]) -> None:
    machine = Machine(tmp_path)
    machine.answer({"*.example.com": ANN}, **more)
    found, (why,) = machine.ask()
    assert found == []
    assert why.startswith("helper: ")


def attributes(**more: Any) -> dict[str, Any]:
    return {"serviceAccountTokenAudience": "registry", "cacheType": "ServiceAccount",
            "requireServiceAccount": True, **more}  # fmt: skip


def test_a_program_is_given_a_token_of_the_pods_account(tmp_path: Path) -> None:
    keys = {"requiredServiceAccountAnnotationKeys": ["example.com/role"],
            "optionalServiceAccountAnnotationKeys": ["none"]}  # fmt: skip
    machine = Machine(tmp_path, defaultCacheDuration="1h", tokenAttributes=attributes(**keys))
    mine = Source("default", "robot", "uid of robot")
    for _ in range(2):
        assert machine.ask(spec={"serviceAccountName": "robot"}) == ([(ANN, mine)], [])
    (request,) = machine.asked
    assert request["serviceAccountToken"] == "token of robot"
    assert request["serviceAccountAnnotations"] == {"example.com/role": "reader"}
    assert machine.client.audiences == ["registry"]
    machine.ask(spec={"serviceAccountName": "other"})  # another account's answer is not its own
    assert len(machine.asked) == 2
    machine.client.annotations = {"example.com/role": "writer"}
    machine.ask(spec={"serviceAccountName": "robot"})
    assert len(machine.asked) == 3
    machine.client.annotations = {}
    assert machine.ask(spec={"serviceAccountName": "robot"}) == ([], [])
    assert len(machine.asked) == 3


@pytest.mark.parametrize("needed", [True, False])
def test_a_static_pod_has_no_account(tmp_path: Path, needed: bool) -> None:
    machine = Machine(tmp_path, tokenAttributes=attributes(requireServiceAccount=needed))
    marks = {"annotations": {SOURCE_MARK: FILE}}
    static = pod(metadata=marks)
    found, _ = asyncio.run(machine.providers.ask(static, parse(IMAGE)))
    if needed:
        assert (found, machine.asked) == ([], [])
    else:
        assert "serviceAccountToken" not in machine.asked[0]


SOUND = {"name": "helper", "matchImages": ["a.b"], "defaultCacheDuration": "1m",
         "apiVersion": API_VERSION}  # fmt: skip


def tokens(**more: Any) -> list[dict[str, Any]]:
    return [{**SOUND, "tokenAttributes": attributes(**more)}]


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([], "at least 1 item in plugins is required"),
        ([{**SOUND, "name": "../x"}], "providers[0].name: '../x' is not the name of a program"),
        ([{**SOUND, "name": "gone"}], "providers[0].name: there is no program"),
        ([SOUND, SOUND], "providers[0].name: 'helper' is given twice"),
        ([{**SOUND, "apiVersion": "v1"}], "providers[0].apiVersion: 'v1' is not"),
        ([{**SOUND, "matchImages": []}], "at least 1 item in matchImages is required"),
        ([{**SOUND, "defaultCacheDuration": "-1s"}], "providers[0].defaultCacheDuration: '-1s'"),
        (
            [{**SOUND, "tokenAttributes": {}}],
            "providers[0].tokenAttributes.serviceAccountTokenAudience: Required value: "
            "serviceAccountTokenAudience is required",
        ),
        (
            tokens(requireServiceAccount=None),
            "tokenAttributes.requireServiceAccount: Required value: requireServiceAccount is "
            "required",
        ),
        (
            tokens(cacheType=""),
            "tokenAttributes.cacheType: Required value: cacheType is required to be set when "
            "tokenAttributes is specified. Supported values are: ServiceAccount, Token",
        ),
        (
            tokens(cacheType="x"),
            'tokenAttributes.cacheType: Unsupported value: "x": supported values: '
            '"ServiceAccount", "Token"',
        ),
        (
            tokens(requireServiceAccount=False, requiredServiceAccountAnnotationKeys=["a"]),
            "tokenAttributes.requiredServiceAccountAnnotationKeys: Forbidden: "
            "requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is "
            "set",
        ),
        (
            tokens(optionalServiceAccountAnnotationKeys=["a", "a"]),
            'tokenAttributes.optionalServiceAccountAnnotationKeys: Duplicate value: "a"',
        ),
        (
            tokens(optionalServiceAccountAnnotationKeys=["/"]),
            'tokenAttributes.optionalServiceAccountAnnotationKeys: Invalid value: "/": ',
        ),
        (
            tokens(
                requiredServiceAccountAnnotationKeys=["b", "a"],
                optionalServiceAccountAnnotationKeys=["a"],
            ),
            'tokenAttributes: Invalid value: ["a"]: annotation keys cannot be both required and '
            "optional",
        ),
        (["text"], "Expected `object`"),
    ],
)
def test_a_configuration_that_cannot_be_is_told(tmp_path: Path, entries: Any, why: str) -> None:
    (tmp_path / "helper").touch(0o755)
    with pytest.raises(BadProviders) as raised:
        parse_providers(configuration(*entries), tmp_path)
    assert why in str(raised.value)


def test_a_configuration_is_yaml_of_its_own_kind(tmp_path: Path) -> None:
    for data in (b"kind: {", configuration(SOUND, kind="Other"), b"[]"):
        with pytest.raises(BadProviders):
            parse_providers(data, tmp_path)


def test_the_options_are_given_on_and_need_each_other(tmp_path: Path) -> None:
    (tmp_path / "helper").touch(0o755)
    (tmp_path / "c.yaml").write_bytes(configuration(SOUND))
    words = [f"--image-credential-provider-config={tmp_path}/c.yaml",
             f"--image-credential-provider-bin-dir={tmp_path}"]  # fmt: skip
    arguments = build_parser("node").parse_args(words)
    assert set(kubelet.words(arguments)) >= set(words)
    kubelet.check(arguments)
    assert [it.name for it in kubelet.read_providers(arguments)] == ["helper"]
    with pytest.raises(Failure, match="need each other"):
        kubelet.check(build_parser("node").parse_args(words[:1]))
    (tmp_path / "c.yaml").write_text("kind: x")
    with pytest.raises(Failure, match=r"--image-credential-provider-config .*/c.yaml: it must be"):
        kubelet.check(arguments)
    with pytest.raises(Failure, match="No such file"):
        kubelet.check(build_parser("node").parse_args([words[0] + "x", words[1]]))
