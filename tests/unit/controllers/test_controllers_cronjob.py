"""CronJob plans: when a job is due, which one starts, what the status and the events say.

NOW is 2026-01-01 00:00 UTC, a Thursday.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from steersman.controllers import cronjob_plan
from steersman.controllers.cronjob_plan import decide, new_job, observe, plan_history, plan_status
from steersman.controllers.cronjob_times import NeverDue, due_in, following, recent, zone_of
from steersman.model.kinds.cronjob import CronJob
from steersman.model.kinds.job import Job
from steersman.model.types.schedule import parse
from unit.controllers.views import NOW, TEMPLATE, cron_job, job, time

UTC = zone_of(None)
assert UTC is not None
HOUR = 3600.0


def times(text: str, after: str, zone: str, count: int) -> list[str]:
    """Returns the next times of a schedule on the wall of a zone."""
    where = zone_of(zone)
    assert where is not None
    found, moment = [], datetime.fromisoformat(after).replace(tzinfo=where).timestamp()
    for _ in range(count):
        following_one = following(parse(text), where, moment)
        assert following_one is not None
        moment = following_one
        found.append(datetime.fromtimestamp(moment, where).strftime("%m-%d %H:%M %z"))
    return found


def of(name: str, how: str = "", ago: float = 60.0, **status: Any) -> Job:
    """Returns a job of the cron job that ended (or not) so many seconds ago."""
    if how:
        status["conditions"] = [{"type": how, "status": "True"}]
    if how == "Complete":
        status["completionTime"] = time(ago)
    metadata = {"name": name, "uid": f"uid-{name}"}
    return job(metadata=metadata, status={"startTime": time(ago + 5), **status})


def active(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "namespace": "default", "uid": f"uid-{name}"} for name in names]


def start(owner: CronJob, *jobs: Job, now: float = NOW) -> cronjob_plan.Start:
    return decide(owner, observe(owner, jobs), now)


def told(found: Any) -> list[tuple[str, str, str]]:
    return [(it.type, it.reason, it.note) for it in found.tell]


# When


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/20 * * * *", ["01-01 00:20", "01-01 00:40", "01-01 01:00"]),
        ("30 4 1,15 * *", ["01-01 04:30", "01-15 04:30", "02-01 04:30"]),
        ("0 12 * * mon-wed", ["01-05 12:00", "01-06 12:00", "01-07 12:00"]),
        ("0 0 13 * 5", ["01-02 00:00", "01-09 00:00", "01-13 00:00"]),
        ("0 0 * * 0", ["01-04 00:00", "01-11 00:00", "01-18 00:00"]),
        ("59 23 31 */6 *", ["01-31 23:59", "07-31 23:59", "01-31 23:59"]),
        ("@monthly", ["02-01 00:00", "03-01 00:00", "04-01 00:00"]),
        ("@every 90m", ["01-01 01:30", "01-01 03:00", "01-01 04:30"]),
    ],
)
def test_the_times_of_a_schedule_come_in_their_order(text: str, expected: list[str]) -> None:
    assert times(text, "2026-01-01T00:00", "UTC", 3) == [f"{one} +0000" for one in expected]


def test_an_hour_that_daylight_saving_skips_is_not_run() -> None:
    found = times("30 2 * * *", "2026-03-07T12:00", "America/New_York", 2)
    assert found == ["03-09 02:30 -0400", "03-10 02:30 -0400"]
    hourly = times("0 * * * *", "2026-03-08T00:30", "America/New_York", 3)
    assert hourly == ["03-08 01:00 -0500", "03-08 03:00 -0400", "03-08 04:00 -0400"]


def test_an_hour_that_daylight_saving_repeats_runs_twice() -> None:
    found = times("30 1 * * *", "2026-10-31T12:00", "America/New_York", 3)
    assert found == ["11-01 01:30 -0400", "11-01 01:30 -0500", "11-02 01:30 -0500"]


def test_a_midnight_that_daylight_saving_skips_is_passed_over() -> None:
    found = times("0 0 * * *", "2018-11-02T12:00", "America/Sao_Paulo", 2)
    assert found == ["11-03 00:00 -0300", "11-05 00:00 -0200"]


def test_a_day_that_never_comes_is_never_due() -> None:
    assert following(parse("0 0 31 2 *"), UTC, NOW) is None
    assert following(parse("0 0 29 2 *"), UTC, NOW) is not None
    with pytest.raises(NeverDue, match="time difference between two schedules"):
        recent(cron_job(), parse("0 0 31 2 *"), UTC, NOW)


def test_zones_are_known_by_their_names_only() -> None:
    assert zone_of("Europe/Berlin") is not None
    assert [zone_of(name) for name in ("Europe/Nowhere", "../etc/passwd", "America")] == [None] * 3


def test_what_is_due_is_the_last_time_that_passed() -> None:
    hourly = parse("0 * * * *")
    found = recent(cron_job(metadata={"creationTimestamp": time(9 * HOUR + 60)}), hourly, UTC, NOW)
    assert (found.due, found.missed) == (NOW, 10)
    fresh = recent(cron_job(), hourly, UTC, NOW - 3000)
    assert (fresh.due, fresh.missed, fresh.earliest) == (NOW - HOUR, 1, NOW - 5400)
    assert recent(cron_job(), hourly, UTC, NOW - 3601).due is None
    ran = cron_job(status={"lastScheduleTime": time(0)})
    assert recent(ran, hourly, UTC, NOW + 60).due is None
    assert due_in(ran, hourly, UTC, NOW + 60) == pytest.approx(HOUR - 60 + 0.1)


def test_what_is_before_the_starting_deadline_is_not_counted() -> None:
    owner = cron_job(
        metadata={"creationTimestamp": time(500 * HOUR)}, startingDeadlineSeconds=5 * 3600 - 60
    )
    assert recent(owner, parse("0 * * * *"), UTC, NOW).missed == 5
    assert recent(owner, parse("0 * * * *"), UTC, NOW, deadline=False).missed == 500


def test_irregular_schedules_find_their_last_time() -> None:
    weekdays = parse("30 6-16/4 * * 1-5")
    owner = cron_job(metadata={"creationTimestamp": time(3 * 24 * HOUR)})
    found = recent(owner, weekdays, UTC, NOW - 9 * HOUR)
    assert found.due == NOW - 9.5 * HOUR


# What


def test_a_job_that_is_due_starts_and_the_next_time_is_waited_for() -> None:
    found = start(cron_job(), now=NOW + 2)
    assert (found.due, found.replaces, told(found)) == (NOW, [], [])
    assert found.wait == pytest.approx(HOUR - 2 + 0.1)


def test_a_job_is_named_after_its_minute_and_stamped_with_its_time() -> None:
    template = {
        "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"template": TEMPLATE},
    }
    owner = cron_job(jobTemplate=template, timeZone="Asia/Kolkata")
    document = new_job(owner, NOW).document
    metadata = document["metadata"]
    assert metadata["name"] == f"hourly-{int(NOW) // 60}"
    assert metadata["labels"] == {"a": "b"}
    stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp"
    assert metadata["annotations"] == {"c": "d", stamp: "2026-01-01T05:30:00+05:30"}
    assert metadata["ownerReferences"][0]["kind"] == "CronJob"
    assert document["spec"] == {"template": TEMPLATE}
    plain = new_job(cron_job(), NOW).document["metadata"]["annotations"]
    assert plain == {stamp: "2026-01-01T00:00:00Z"}


def test_a_time_is_not_started_twice() -> None:
    ran = cron_job(status={"lastScheduleTime": time(HOUR)})
    assert start(ran, now=NOW - 1).due is None
    name = f"hourly-{int(NOW) // 60}"
    listed = cron_job(status={"active": active(name)})
    assert start(listed, of(name)).due is None


def test_what_is_suspended_or_being_deleted_starts_nothing() -> None:
    assert start(cron_job(suspend=True)) == cronjob_plan.Start()
    assert start(cron_job(metadata={"deletionTimestamp": time(0)})) == cronjob_plan.Start()


def test_forbid_waits_for_the_running_job_and_replace_ends_it() -> None:
    status = {"active": active("old")}
    forbids = start(cron_job(concurrencyPolicy="Forbid", status=status), of("old"))
    text = "Not starting job because prior execution is running and concurrency policy is Forbid"
    assert forbids.due is None
    assert forbids.wait is not None
    assert told(forbids) == [("Normal", "JobAlreadyActive", text)]
    replaces = start(cron_job(concurrencyPolicy="Replace", status=status), of("old"))
    assert replaces.due == NOW
    assert [it.name for it in replaces.replaces] == ["old"]
    allows = start(cron_job(status=status), of("old"))
    assert (allows.due, allows.replaces) == (NOW, [])


def test_what_is_too_late_is_told_and_not_started() -> None:
    found = start(cron_job(startingDeadlineSeconds=4000), now=NOW + 3500)
    assert found.due == NOW
    late = start(cron_job(startingDeadlineSeconds=30), now=NOW + 31)
    assert late.due is None
    assert told(late) == []  # the deadline lies after the time: nothing is unmet


def test_a_time_that_passed_while_nobody_looked_is_told_as_missed() -> None:
    owner = cron_job(startingDeadlineSeconds=0)
    begun = cronjob_plan.Start(NOW, 9.0)
    found = cronjob_plan._due(owner, observe(owner, ()), begun, NOW + 1)
    text = "Missed scheduled time to start a job: Thu, 01 Jan 2026 00:00:00 +0000"
    assert told(found) == [("Warning", "MissSchedule", text)]
    assert (found.due, found.wait) == (None, 9.0)


def test_too_many_missed_times_are_told_and_the_last_one_starts() -> None:
    owner = cron_job(metadata={"creationTimestamp": time(100 * HOUR + 60)})
    text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
    found = start(owner)
    assert told(found) == [("Warning", "TooManyMissedTimes", f"{text}clock skew")]
    assert found.due == NOW
    fewer = start(cron_job(metadata={"creationTimestamp": time(99 * HOUR + 60)}))
    assert told(fewer) == []


def test_schedules_and_zones_that_are_not_understood_are_told() -> None:
    zone = start(cron_job(timeZone="Mars/Base"))
    text = 'invalid timeZone: "Mars/Base": unknown time zone Mars/Base'
    assert told(zone) == [("Warning", "UnknownTimeZone", text)]
    bad = start(cron_job(schedule="0 0 0"))
    why = "expected exactly 5 fields, found 3: [0 0 0]"
    text = f'unparseable schedule: "0 0 0" : {why}'
    assert told(bad) == [("Warning", "UnparseableSchedule", text)]
    never = start(cron_job(schedule="0 0 31 2 *"))
    text = "invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1"
    assert told(never) == [("Warning", "InvalidSchedule", f"{text} second")]


# The status


def test_finished_jobs_leave_the_active_ones_and_the_last_success_is_kept() -> None:
    owner = cron_job(status={"active": active("a", "b", "c")})
    found = observe(owner, [of("a", "Complete", 90), of("b", "Failed"), of("c")])
    assert [it.name for it in found.active] == ["c"]
    assert told(found) == [
        ("Normal", "SawCompletedJob", "Saw completed job: a, status: Complete"),
        ("Normal", "SawCompletedJob", "Saw completed job: b, status: Failed"),
    ]
    patch = plan_status(owner, found)
    assert patch is not None
    assert patch.patch == {
        "status": {
            "active": [{"namespace": "default", "name": "c", "uid": "uid-c"}],
            "lastSuccessfulTime": time(90),
        }
    }
    assert (patch.uid, patch.revision) == ("uid-hourly", 9)


def test_a_job_nobody_knows_and_one_that_is_gone_are_told() -> None:
    owner = cron_job(status={"active": active("gone", "late")})
    found = observe(owner, [of("new")], ["uid-late"])
    assert [it.name for it in found.active] == ["late"]
    text = "Saw a job that the controller did not create or forgot: new"
    assert told(found) == [
        ("Warning", "UnexpectedJob", text),
        ("Normal", "MissingJob", "Active job went missing: gone"),
    ]


def test_a_started_job_is_in_the_status() -> None:
    owner = cron_job()
    found = observe(owner, [])
    assert plan_status(owner, found) is None
    cronjob_plan.started(found, of("new"), NOW)
    patch = plan_status(owner, found)
    assert patch is not None
    (reference,) = patch.patch["status"]["active"]  # type: ignore[call-overload]
    assert reference == {
        "kind": "Job",
        "namespace": "default",
        "name": "new",
        "uid": "uid-new",
        "apiVersion": "batch/v1",
        "resourceVersion": "9",
    }
    assert patch.patch["status"]["lastScheduleTime"] == time(0)  # type: ignore[call-overload]
    cronjob_plan.replaced(found, "uid-new")
    assert found.active == []


def test_finished_jobs_above_the_limits_go_oldest_first() -> None:
    good = [of(f"good-{number}", "Complete", 100 - number) for number in range(5)]
    bad = [of(f"bad-{number}", "Failed", number) for number in range(3)]
    doomed = plan_history(cron_job(), [*good, of("runs"), *bad])
    assert [it.metadata.name for it in doomed] == ["good-0", "good-1", "bad-2", "bad-1"]
    none = cron_job(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=5)
    assert len(plan_history(none, [*good, *bad])) == 5
