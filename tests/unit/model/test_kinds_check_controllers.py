"""Kinds that make or describe pods: ReplicationController, PodTemplate, ControllerRevision,
CronJob and its schedule."""

from __future__ import annotations

from typing import Any

import pytest
from tests.checked import IMMUTABLE, NEGATIVE, Causes, causes, kind_of

from steersman.model.types import schedule
from steersman.model.types.schedule import ScheduleError

CONTAINER = {"name": "a", "image": "i"}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "a", "b": "c"}},
    "spec": {"containers": [CONTAINER]},
}
NEVER = {**TEMPLATE, "spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}
LABELS = "spec.template.metadata.labels"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"selector": {"app": "a"}, "template": TEMPLATE}, []),
        (
            {},
            [
                ("spec.selector", "Required value"),
                ("spec.template", "Required value"),
            ],
        ),
        (
            {"selector": {"app": "b"}, "template": TEMPLATE, "replicas": -1, "minReadySeconds": -1},
            [
                ("spec.minReadySeconds", NEGATIVE),
                ("spec.replicas", NEGATIVE),
                (
                    LABELS,
                    'Invalid value: {"app":"a","b":"c"}: `selector` does not match template '
                    "`labels`",
                ),
            ],
        ),
        (
            {"selector": {"app": "a"}, "template": NEVER},
            [
                (
                    "spec.template.spec.restartPolicy",
                    'Unsupported value: "Never": supported values: "Always"',
                )
            ],
        ),
        (
            {
                "selector": {"app": "a"},
                "template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "activeDeadlineSeconds": 5}},
            },
            [
                (
                    "spec.template.spec.activeDeadlineSeconds",
                    "Forbidden: activeDeadlineSeconds in ReplicationController is not Supported",
                )
            ],
        ),
        (
            {"selector": {"app": "a"}, "template": {**TEMPLATE, "spec": {}}},
            [("spec.template.spec.containers", "Required value")],
        ),
    ],
)
def test_replication_controllers(spec: dict[str, Any], expected: Causes) -> None:
    document = {"spec": spec}
    assert causes("", "replicationcontrollers", document) == expected
    assert causes("", "replicationcontrollers", document, document) == expected


def test_a_replication_controller_without_replicas_is_refused_when_the_default_is_gone() -> None:
    spec = {"selector": {"app": "a"}, "template": None}
    metadata = {"name": "x", "namespace": "n"}
    found = kind_of("", "replicationcontrollers").check(
        {"metadata": metadata, "spec": spec}, None, ""
    )
    assert [cause.field for cause in found] == ["spec.replicas", "spec.template"]


def test_the_counts_of_a_replication_controller_fit_together() -> None:
    status = {
        "replicas": 1,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 0,
        "availableReplicas": 1,
        "observedGeneration": -1,
    }
    document = {"spec": {"replicas": -1}, "status": status}
    assert causes("", "replicationcontrollers", document, document, "status") == [
        ("status.observedGeneration", NEGATIVE),
        (
            "status.fullyLabeledReplicas",
            "Invalid value: 2: cannot be greater than status.replicas",
        ),
        ("status.availableReplicas", "Invalid value: 1: cannot be greater than readyReplicas"),
    ]


def test_the_template_of_a_pod_template_is_checked() -> None:
    assert causes("", "podtemplates", {"template": TEMPLATE}) == []
    assert causes("", "podtemplates", {"template": {**TEMPLATE, "spec": {}}}) == [
        ("template.spec.containers", "Required value")
    ]


def test_a_controller_revision_has_data_that_stay() -> None:
    group, plural = "apps", "controllerrevisions"
    before = {"data": {"a": 1}, "revision": 1}
    assert causes(group, plural, before) == []
    assert causes(group, plural, {**before, "revision": 2}, before) == []
    assert causes(group, plural, {"revision": -1}) == [
        ("data", "Required value: data is mandatory"),
        ("revision", NEGATIVE),
    ]
    assert causes(group, plural, {**before, "data": {"a": 2}}, before) == [
        ("data", f'Invalid value: {{"a":2}}: {IMMUTABLE}')
    ]


def cron(old: dict[str, Any] | None = None, **spec: Any) -> Causes:
    whole = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": NEVER}}, **spec}
    before = None if old is None else {"spec": {**whole, **old}}
    return causes("batch", "cronjobs", {"spec": whole}, before)


EXPLICIT = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"


@pytest.mark.parametrize(
    ("zone", "problems"),
    [
        ("UTC", []),
        ("Europe/Berlin", []),
        ("Etc/GMT+1", []),
        ("", ["timeZone must be nil or non-empty string"]),
        ("Local", [EXPLICIT]),
        ("lOCAL", [EXPLICIT, "unknown time zone lOCAL"]),
        ("Mars/Olympus", ["unknown time zone Mars/Olympus"]),
        ("../etc", ["unknown time zone ../etc"]),
        ("Europe//Berlin", ["unknown time zone Europe//Berlin"]),
        ("Europe/-B", ["unknown time zone Europe/-B"]),
        ("A" * 15, [f"unknown time zone {'A' * 15}"]),
    ],
)
def test_time_zones(zone: str, problems: list[str]) -> None:
    expected = [("spec.timeZone", f'Invalid value: "{zone}": {text}') for text in problems]
    assert cron(timeZone=zone) == expected
    assert cron({"timeZone": zone}, timeZone=zone) == []
    assert cron({"timeZone": "UTC"}, timeZone=zone) == expected


def test_a_schedule_names_a_zone_only_where_it_did_before() -> None:
    zoned = "CRON_TZ=UTC 0 0 * * *"
    assert cron({"schedule": zoned}, schedule=zoned) == []
    wrong = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
    assert cron(schedule=zoned) == [("spec.schedule", f'Invalid value: "{zoned}": {wrong}')]
    assert cron({"schedule": "@daily"}, schedule=zoned) != []
    wrong = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
    assert cron({"schedule": zoned}, schedule=zoned, timeZone="UTC") == [
        ("spec.schedule", f'Invalid value: "{zoned}": {wrong}')
    ]


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        ("", ""),
        ("Local", ""),
        ("Mars/Olympus", "unknown time zone Mars/Olympus"),
        ("a/../b", "time: invalid location name"),
        ("/etc", "time: invalid location name"),
        ("a\\b", "time: invalid location name"),
    ],
)
def test_a_zone_in_a_schedule_is_known(zone: str, problem: str) -> None:
    zoned = f"TZ={zone} 0 0 * * *"
    found = [message for _field, message in cron({"schedule": zoned}, schedule=zoned)]
    shown = zoned.replace("\\", "\\\\")
    expected = f'Invalid value: "{shown}": provided bad location {zone}: {problem}'
    assert found == ([expected] if problem else [])


def test_the_template_of_a_cron_job_selects_nothing() -> None:
    selector = {"matchLabels": {"a": "b"}}
    assert cron(jobTemplate={"spec": {"template": NEVER, "selector": selector}}) == [
        (
            "spec.jobTemplate.spec.selector",
            'Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
        )
    ]


def test_a_cron_job_counts_from_zero() -> None:
    fields = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    assert cron(**dict.fromkeys(fields, -1)) == [(f"spec.{name}", NEGATIVE) for name in fields]
    assert cron(**dict.fromkeys(fields, 0)) == []
    assert cron(schedule="") == [("spec.schedule", "Required value")]


def test_a_long_name_is_refused_when_a_cron_job_is_made() -> None:
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": NEVER}}}
    document = {"metadata": {"name": "a" * 53}, "spec": spec}
    assert [field for field, _text in causes("batch", "cronjobs", document)] == ["metadata.name"]
    assert causes("batch", "cronjobs", document, document) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("@never", "unrecognized descriptor: @never"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        (
            "a * * * *",
            'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax',
        ),
        (
            f"{'9' * 20} * * * *",
            f'failed to parse int from {"9" * 20}: strconv.Atoi: parsing "{"9" * 20}": value out '
            "of range",
        ),
        (
            "--1 * * * *",
            'failed to parse int from --1: strconv.Atoi: parsing "": invalid syntax',
        ),
        ("@every ", 'failed to parse duration @every : time: invalid duration ""'),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        (
            "@every 5x",
            'failed to parse duration @every 5x: time: unknown unit "x" in duration "5x"',
        ),
        ("@every h", 'failed to parse duration @every h: time: invalid duration "h"'),
        ("@every 1h.", 'failed to parse duration @every 1h.: time: invalid duration "1h."'),
    ],
)
def test_what_is_no_schedule(text: str, problem: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        schedule.parse(text)
    assert str(caught.value) == problem


def test_an_empty_text_is_no_schedule() -> None:
    with pytest.raises(ScheduleError, match="empty spec string"):
        schedule.parse("")


def test_a_schedule_names_times() -> None:
    read = schedule.parse("5,*/20 1-3 31 FEB,dec mon-fri/2")
    assert read.minutes == {0, 5, 20, 40}
    assert read.hours == {1, 2, 3}
    assert read.days == {31}
    assert read.months == {2, 12}
    assert read.weekdays == {1, 3, 5}
    assert not read.any_day
    assert not read.any_weekday
    assert schedule.parse("50/5 * ? * *").minutes == {50, 55}


def test_a_star_with_a_step_is_no_star() -> None:
    assert schedule.parse("* * * * *").any_day
    assert schedule.parse("* * ? * */1").any_weekday
    assert not schedule.parse("* * */2 * *").any_day


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("TZ=UTC 1 2 3 4 5", "1 2 3 4 5"),
    ],
)
def test_descriptors_stand_for_fields(text: str, same: str) -> None:
    assert schedule.parse(text) == schedule.parse(same)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h30m", 5400), ("1.5m", 90), ("2500ms", 2), ("5ns", 1), ("0", 1), ("-5s", 1), ("+2s", 2)],
)
def test_a_span_is_in_whole_seconds_and_not_less_than_one(text: str, seconds: float) -> None:
    assert schedule.parse(f"@every {text}").every == seconds
