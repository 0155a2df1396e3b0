"""Local seccomp profiles: whose they are, and what cannot be read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from node_documents import pod

from steersman.node.acting.seccomp_profiles import (
    MAX_BYTES,
    BadProfile,
    load_profile,
    local_profile,
)

PROFILE = {"defaultAction": "SCMP_ACT_ALLOW"}


def local(name: str) -> dict[str, Any]:
    return {"seccompProfile": {"type": "Localhost", "localhostProfile": name}}


def test_a_containers_own_profile_goes_before_its_pods() -> None:
    of_pod = {"securityContext": local("pod.json")}
    for own, name in (
        ({}, "pod.json"),
        (local("own.json"), "own.json"),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, ""),
        ({**local("own.json"), "privileged": True}, ""),
    ):
        given = pod(spec=of_pod, securityContext=own)
        assert local_profile(given, given.spec.containers[0]) == name
    assert local_profile(pod(), pod().spec.containers[0]) == ""


def test_a_profile_is_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.json").write_text(json.dumps(PROFILE))
    assert load_profile(tmp_path, "deep/a.json") == PROFILE


def refusal(folder: Path, name: str) -> str:
    with pytest.raises(BadProfile) as refused:
        load_profile(folder, name)
    text = str(refused.value)
    assert text.startswith(f'cannot load seccomp profile "{folder}/{name}": ')
    return text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "decoding seccomp profile failed: "),
        (b"[]", "decoding seccomp profile failed: "),
        (b" " * (MAX_BYTES + 1), f"it has more than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert why in refusal(tmp_path, "a.json")


def test_no_name_and_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(json.dumps(PROFILE))
    folder = tmp_path / "seccomp"
    folder.mkdir()
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "up.json").symlink_to("../secret.json")
    os.mkfifo(folder / "pipe.json")
    for name in ("../secret.json", "link.json", "up.json", "none.json"):
        assert refusal(folder, name).endswith("no such file or directory")
    assert "decoding" in refusal(folder, "pipe.json")  # and is not waited for
    assert "no such file" in refusal(tmp_path / "nowhere", "a.json")
