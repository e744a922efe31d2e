"""When a scene was taken, as far as its file says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["acquisition_time"]

# The most trustworthy first: GDAL's own name for what it reads beside scenes of known satellites, then what others
# write, last the TIFF's date, which some programs set to when the file was made.
_KEYS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "ACQUIRED",
    "DATETIME",
    "SENSING_TIME",
    "PRODUCT_START_TIME",
    "NITF_IDATIM",
    "EXIF_DATETIMEORIGINAL",
    "TIFFTAG_DATETIME",
)
_DATE = re.compile(
    r"(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})"
    r"(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d+))?)? ?(Z|[+-]\d{2}:?\d{2})?)?"
)


def acquisition_time(tags: Iterable[Mapping[str, str]]) -> str | None:
    """Return the time in ISO 8601 from a file's metadata (several name-value tables, the first wins), or None.

    Seconds and the zone are there only where the file states them.

    Example:
        >>> acquisition_time([{"TIFFTAG_DATETIME": "2026:05:04 10:11:12"}])
        '2026-05-04T10:11:12'
    """
    tables = [{key.upper(): value for key, value in table.items()} for table in tags]
    for key in _KEYS:
        for table in tables:
            found = _iso(table.get(key, ""))
            if found:
                return found
    return None


def _iso(text: str) -> str | None:
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(year) > 1900):
        return None
    date = f"{year}-{month}-{day}"
    if hour is None:
        return date
    seconds = "" if second is None else f":{second}" + ("" if fraction is None else f".{fraction}")
    return f"{date}T{hour}:{minute}{seconds}{zone or ''}"
