from __future__ import annotations

import pytest

from shipseg.scenes.acquired import acquisition_time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026:05:04 10:11:12", "2026-05-04T10:11:12"),
        ("2026-05-04T10:11:12.345Z", "2026-05-04T10:11:12.345Z"),
        ("2026-05-04T10:11:12+02:00", "2026-05-04T10:11:12+02:00"),
        ("2026-05-04 10:11", "2026-05-04T10:11"),
        ("20260504101112", "2026-05-04T10:11:12"),
        ("2026-05-04", "2026-05-04"),
        ("0000:00:00 00:00:00", None),
        ("2026:13:04 10:11:12", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_become_iso(text: str, time: str | None) -> None:
    assert acquisition_time([{"TIFFTAG_DATETIME": text}]) == time


def test_when_it_was_taken_is_worth_more_than_when_the_file_was_made() -> None:
    tags = [{}, {"TIFFTAG_DATETIME": "2026:05:04 10:11:12", "AcquisitionDateTime": "2026-05-01 09:00:00"}]
    assert acquisition_time(tags) == "2026-05-01T09:00:00"
