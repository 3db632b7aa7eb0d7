from __future__ import annotations

from exporter.history.hour import MINUTES, Hour

AT = 7_200.0


def after(hour: Hour, now: float) -> dict[int, float]:
    """The numbers by how many minutes ago they were noted."""
    return {MINUTES - 1 - at: number for at, number in enumerate(hour.minutes(now)) if number}


def test_nothing_noted_is_an_hour_of_nothing() -> None:
    assert list(Hour().minutes(AT)) == [0.0] * MINUTES


def test_each_minute_keeps_what_took_longest_and_moves_on() -> None:
    hour = Hour()
    for at, seconds in ((0, 0.5), (59.9, 0.25), (60, 2.0), (185, 1.0), (190, 4.0)):
        hour.note(AT + at, seconds, failed=False)

    assert after(hour, AT + 190) == {3: 0.5, 2: 2.0, 0: 4.0}
    assert after(hour, AT + 250) == {4: 0.5, 3: 2.0, 1: 4.0}


def test_a_minute_in_which_anything_failed_is_told_by_a_number_below_zero() -> None:
    hour = Hour()
    for seconds, failed in ((1.0, False), (0.5, True), (2.0, False)):
        hour.note(AT, seconds, failed=failed)

    assert after(hour, AT) == {0: -2.0}


def test_a_failure_that_took_no_time_is_one() -> None:
    hour = Hour()
    hour.note(AT, 0.0, failed=True)

    assert hour.minutes(AT)[-1] < 0


def test_what_is_older_than_an_hour_is_gone_however_long_nothing_was_noted() -> None:
    hour = Hour()
    hour.note(AT, 1.0, failed=False)

    assert after(hour, AT + 59 * 60) == {59: 1.0}
    assert after(hour, AT + 60 * 60) == {}
    hour.note(AT + 1_000_000, 2.0, failed=False)
    assert after(hour, AT + 1_000_000) == {0: 2.0}


def test_two_hours_have_nothing_in_common() -> None:
    one, other = Hour(), Hour()
    one.count(AT)
    one.count(AT + 59)

    assert after(one, AT + 59) == {0: 2.0}
    assert after(other, AT) == {}
