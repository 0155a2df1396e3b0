"""The supervisor and its children: they end with it, however it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import ssl
import time
from pathlib import Path

import pytest

from clusters import Cluster
from ports import free_port
from steersman.cli.directory import Directory
from steersman.listen.certificates import LEAF_DAYS, SERVER, Certificates, ensure, renewal_due

pytestmark = pytest.mark.system
END_SECONDS = 30.0
OLD_SECONDS = 0.9 * LEAF_DAYS * 24 * 3600


def test_the_server_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", tmp_path / "config", free_port())
    ready = json.loads(cluster.up("-o", "json").out)
    try:
        assert os.getsid(cluster.supervisor()) == cluster.supervisor()
        server = os.pidfd_open(ready["processes"]["server"])
        os.kill(cluster.supervisor(), signal.SIGKILL)
        ended, _, _ = select.select([server], [], [], END_SECONDS)
        os.close(server)
        assert ended
    finally:
        cluster.down()
    assert cluster.supervisor() == 0


def test_certificates_that_are_due_are_renewed_and_shown_by_the_server(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", tmp_path / "config", free_port())
    ready = json.loads(cluster.up("--split", "-o", "json").out)
    try:
        directory = Directory(cluster.directory).certificates
        file = Certificates(directory).certificate(SERVER)
        first = ssl.get_server_certificate(("127.0.0.1", cluster.port))
        assert first == file.read_text()
        ensure(directory, (), time.time() - OLD_SECONDS)
        old = file.read_text()
        # The supervisor looks when something happens, else when they were to be due
        os.kill(ready["processes"]["control"], signal.SIGKILL)
        end = time.monotonic() + END_SECONDS
        while (shown := ssl.get_server_certificate(("127.0.0.1", cluster.port))) == first:
            assert time.monotonic() < end, "the server goes on to show its first certificate"
        assert shown == file.read_text() != old
        assert renewal_due(file, time.time()) > 0
    finally:
        cluster.down()


def test_a_cluster_that_cannot_start_says_why_and_leaves_no_process(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", tmp_path / "config", free_port())
    first = Cluster(tmp_path / "first", tmp_path / "config", cluster.port)
    assert first.up().code == 0
    try:
        said = cluster.up()
        assert said.code == 1
        assert said.err == (f"steer: port {cluster.port} is in use: choose another with --port\n")
        assert cluster.supervisor() == 0
    finally:
        first.down()
