"""What all tests share: options, and the list of skips that an environment may have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Reasons for which a test may be skipped; any other skip fails the run
ALLOWED_SKIPS = (
    "needs root",
    "needs --long",
    "not installed here",
    "this kernel",
    "aetcd",
    "newuidmap is installed",  # the other half of a pair of tests
)

# The same examples in every run, and no verdict from how fast the machine is; new examples are
# looked for by `./test tests/property --hypothesis-profile=explore`
settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long simulations too")


# First: xdist's own hook reads the groups, and only those that are there by then
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="needs --long"))
        if item.get_closest_marker("kernel") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: real namespaces"))
        if item.get_closest_marker("system"):
            item.add_marker(pytest.mark.xdist_group("system"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("skipped")
    for report in skipped:
        terminalreporter.line(f"{report.nodeid}: {_reason(report)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or exitstatus != 0:
        return
    unknown = [
        report
        for report in reporter.stats.get("skipped", [])
        if not any(allowed in _reason(report) for allowed in ALLOWED_SKIPS)
    ]
    if unknown:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        for report in unknown:
            reporter.line(f"not a listed skip: {report.nodeid}: {_reason(report)}", red=True)


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real manifests beside the checkout."""
    for parent in Path(__file__).parents:
        if (parent / "shared" / "manifests").is_dir():
            return parent / "shared"
    pytest.skip("shared/ is not installed here")
