"""The document that another runtime gets: what ours does by itself is written out in it."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.runtime.container import Plan
from steersman.runtime.external.document import render
from steersman.runtime.kernel import capabilities
from steersman.runtime.spec import bind_mount, container_document

HELD = capabilities.parse_names(capabilities.DEFAULT)
LOWEST = -1000


def rendered(lowest: int = LOWEST, **options: Any) -> Any:
    linux = options.pop("linux", {})
    bundle = container_document(args=["true"], layers=["/layer"], sandbox_pid=7, **options)
    bundle["linux"].update(linux)
    plan = Plan(bundle, "/pods/p/containers/c", HELD)
    return render(bundle, plan, "/root", "/pods/p/c", [1, 2, 2, 3], {7: "/part"}, lowest)


def test_nothing_of_ours_is_left_in_it() -> None:
    mounts = [bind_mount("/volume", "/v", subpath="inner"), bind_mount("/whole", "/w")]
    user = {"uid": 0, "gid": 0, "username": "web", "imageGroups": False, "umask": 7}
    found = rendered(mounts=mounts, user=user, log="/log")
    assert "steersman" not in found
    assert found["root"] == {"readonly": False, "path": "/root"}
    assert found["linux"]["cgroupsPath"] == "/pods/p/c"
    assert found["process"]["user"] == {"uid": 1, "gid": 2, "additionalGids": [3], "umask": 7}
    assert [(it["source"], "subPath" in it) for it in found["mounts"][-2:]] == [
        ("/part", False),
        ("/whole", False),
    ]
    assert found["ociVersion"] == "1.0.2"


def test_no_device_is_allowed_that_is_not_named() -> None:
    none = {"allow": False, "access": "rwm"}
    assert rendered()["linux"]["resources"]["devices"] == [none]
    every = {"allow": True, "access": "rwm"}
    assert rendered(privileged=True)["linux"]["resources"]["devices"] == [none, every]


def test_the_default_filter_is_written_out_and_one_of_its_own_is_kept() -> None:
    assert rendered()["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "seccomp" not in rendered(seccomp="")["linux"]
    own = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert rendered(linux={"seccomp": own})["linux"]["seccomp"] == own


def test_capabilities_that_this_machine_has_not_are_left_out() -> None:
    found = rendered(capabilities=["CAP_CHOWN", "CAP_SYS_ADMIN"])["process"]["capabilities"]
    assert found == {
        "bounding": ["CAP_CHOWN"],
        "effective": ["CAP_CHOWN"],
        "permitted": ["CAP_CHOWN"],
        "inheritable": [],
        "ambient": [],
    }


@pytest.mark.parametrize(
    ("words", "root"),
    [(["rprivate"], None), (["rprivate", "rslave"], "rslave"), (["rslave", "rshared"], "rshared")],
)
def test_the_root_follows_where_a_volume_does(words: list[str], root: str | None) -> None:
    mounts = [bind_mount("/volume", f"/{word}", propagation=word) for word in words]
    assert rendered(mounts=mounts)["linux"].get("rootfsPropagation") == root


def test_a_score_is_not_below_what_can_be_had() -> None:
    assert rendered(oom_score_adj=-997)["process"]["oomScoreAdj"] == -997
    assert rendered(-5, oom_score_adj=-997)["process"]["oomScoreAdj"] == -5
    assert "oomScoreAdj" not in rendered(-5)["process"]


def test_a_bind_mount_says_that_it_is_one() -> None:
    plain = {"destination": "/v", "type": "bind", "source": "/volume", "options": ["ro"]}
    assert rendered(mounts=[plain])["mounts"][-1]["options"] == ["ro", "bind"]
