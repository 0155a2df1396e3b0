"""`--controllers`: only those run that are chosen, in the server's process and in their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from clusters import Cluster
from ports import free_port

pytestmark = pytest.mark.system


@pytest.mark.parametrize("how", [(), ("--split",)], ids=["one process", "split"])
def test_only_the_chosen_controllers_run(tmp_path: Path, how: tuple[str, ...]) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here")
    made = Cluster(tmp_path / "data", tmp_path / "kubeconfig", free_port())
    refused = made.up("--controllers=*,-nonsense")
    assert refused.code != 0
    assert '"nonsense" is not in the list of known controllers; there are' in refused.err
    started = made.up("--controllers=replicaset-controller,-serviceaccount", *how)
    assert started.code == 0, started.err
    try:
        made.ok("create", "deployment", "web", "--image=web:1")
        labels = {"app": "own"}
        containers = [{"name": "c", "image": "own:1"}]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        document = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "own"},
            "spec": spec,
        }
        made.ok("create", "-f", "-", stdin=json.dumps(document))
        made.ok("wait", "rs/own", "--for=jsonpath={.status.observedGeneration}=1", "--timeout=60s")
        # A ReplicaSet that came later was looked at; the Deployment was not, nor any namespace
        assert made.ok("get", "rs", "-o", "name") == "replicaset.apps/own\n"
        assert made.ok("get", "serviceaccounts", "-o", "name") == ""
    finally:
        assert made.down().code == 0
