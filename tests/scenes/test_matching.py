"""True and predicted ships: pairs, statuses, errors and scores, all worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import geopandas
import pytest
import shapely

from shipseg.errors import DataError
from shipseg.geo.georef import GeoReference
from shipseg.scenes.matching import MapShip, heading_apart, match_ships, read_ships
from shipseg.scenes.metrics import errors_of, metrics_of

# On the central meridian: grid north is true north, a pixel is 2 m / 0.9996.
GEOREF = GeoReference.of((2.0, 0.0, 499_000.0, 0.0, -2.0, 5_600_000.0), "EPSG:32631", (1000, 1000))


def ship(
    number: int, x: float, y: float, long_px: float, wide_px: float, *, length_m: float | None = None, **more: object
) -> MapShip:
    """Return a ship that lies along x, its upper left corner at (x, y)."""
    facts = {"heading_deg": 90.0, "label_m": None, "kind": "", "confidence": None, "cut": False} | more
    box = shapely.box(x, y, x + long_px, y + wide_px)
    return MapShip(number, box, 3.0, 50.0, length_m or 2 * long_px, 2 * wide_px, **facts)  # type: ignore[arg-type]


def test_a_hit_needs_more_than_half_of_the_union() -> None:
    # Shifted by a third of the length: 2/3 shared of 4/3 is exactly one half; by a little less it is more.
    true = [ship(1, 100, 100, 30, 10), ship(2, 100, 200, 30, 10)]
    predicted = [ship(1, 109.5, 100, 30, 10), ship(2, 110, 200, 30, 10)]
    first, second, left_over = match_ships("a", true, predicted, GEOREF)
    assert first.status == "found"
    assert first.iou == pytest.approx(20.5 / 39.5)
    assert second.status == "missed"
    assert left_over.status == "unmatched"
    assert left_over.iou == 0.5
    # Both centres are about 20 m off, nearer than half of 60 m.
    assert first.by_center
    assert second.by_center
    assert left_over.by_center


def test_what_touches_no_true_ship_is_a_false_alarm() -> None:
    (missed, alarm) = match_ships("a", [ship(1, 10, 10, 20, 6)], [ship(1, 500, 10, 20, 6)], GEOREF)
    assert (missed.status, missed.by_center) == ("missed", False)
    assert (alarm.status, alarm.iou, alarm.by_center) == ("false alarm", 0.0, False)


def test_each_ship_is_taken_once_the_best_pair_first() -> None:
    true = [ship(1, 100, 100, 40, 10), ship(2, 104, 100, 40, 10)]
    (first, second) = match_ships("a", true, [ship(7, 104, 100, 40, 10)], GEOREF)
    assert first.status == "missed"
    assert second.predicted is not None
    assert second.predicted.number == 7
    assert second.iou == pytest.approx(1.0)


def test_a_small_boat_is_near_within_ten_metres() -> None:
    true = [ship(1, 100, 100, 4, 2), ship(2, 300, 100, 4, 2)]
    near, far, *_ = match_ships("a", true, [ship(1, 104.9, 100, 4, 2), ship(2, 305.1, 100, 4, 2)], GEOREF)
    assert near.by_center  # 4.9 pixels of 2 m
    assert not far.by_center


@pytest.mark.parametrize(
    ("one", "other", "apart"), [(10, 5, 5), (179, 1, -2), (1, 359, 2), (350, 168, 2), (0, 180, 0), (91, 0, -89)]
)
def test_headings_are_compared_without_bow_and_stern(one: float, other: float, apart: float) -> None:
    assert heading_apart(one, other) == pytest.approx(apart)


def test_errors_are_of_whole_ships_that_were_found() -> None:
    true = [
        ship(1, 0, 0, 30, 10, length_m=60, label_m=(63.0, 23.0)),
        ship(2, 0, 100, 30, 10, length_m=60, label_m=(63.0, 23.0)),
        ship(3, 0, 200, 30, 10, length_m=120, label_m=(123.0, 23.0), cut=True),
        ship(4, 0, 300, 8, 4, length_m=16, label_m=(19.0, 11.0)),
    ]
    predicted = [
        ship(1, 0, 0, 30, 10, length_m=63, heading_deg=88.0),
        ship(2, 0, 100, 30, 10, length_m=55, heading_deg=93.0),
        ship(3, 0, 200, 30, 10, length_m=60),
        ship(4, 0, 300, 8, 4, length_m=17),
    ]
    errors = errors_of(match_ships("a", true, predicted, GEOREF))
    # +3, -5, +1 m: the median of the signed is +1, of the sizes 1, 3, 5 it is 3.
    assert errors["length_m"]["all"] == {"num": 3, "bias": 1.0, "median": 3.0, "p95": pytest.approx(4.8)}
    assert errors["length_m"]["50 to 100 m"] == {"num": 2, "bias": -1.0, "median": 4.0, "p95": pytest.approx(4.9)}
    assert errors["length_m"]["below 20 m"]["num"] == 1
    assert errors["length_m"]["from 100 m"] == {"num": 0, "bias": None, "median": None, "p95": None}
    # -2, +3 and 0 degrees; 0, -8 and -2 m against the labels.
    assert errors["heading_deg"]["all"]["median"] == 2.0
    assert errors["label_length_m"]["all"]["bias"] == -2.0


def test_scores_count_by_size() -> None:
    true = [ship(1, 0, 0, 5, 3), ship(2, 0, 100, 15, 5), ship(3, 0, 200, 60, 12), ship(4, 0, 400, 60, 12)]
    predicted = [ship(1, 0, 0, 5, 3), ship(2, 0, 200, 60, 12), ship(3, 500, 500, 20, 6), ship(4, 600, 600, 20, 6)]
    metrics = metrics_of(match_ships("a", true, predicted, GEOREF), looked_at_km2=4.0, scenes=["a"])
    assert (metrics["num_ships"], metrics["num_predicted"], metrics["num_false_alarms"]) == (4, 4, 2)
    assert metrics["false_alarms_per_1000km2"] == 500.0
    assert metrics["by_iou"]["recall"] == metrics["by_iou"]["precision"] == metrics["by_iou"]["f1"] == 0.5
    assert metrics["by_iou"]["recall_by_length"] == {
        "below 20 m": {"share": 1.0, "num": 1},
        "20 to 50 m": {"share": 0.0, "num": 1},
        "50 to 100 m": {"share": None, "num": 0},
        "from 100 m": {"share": 0.5, "num": 2},
    }
    assert metrics["by_iou"]["precision_by_length"]["20 to 50 m"] == {"share": 0.0, "num": 2}
    # 15 and 75 pixels, and 720 twice.
    assert metrics["by_iou"]["recall_by_area"] == {
        "below 100 px": {"share": 0.5, "num": 2},
        "100 to 1000 px": {"share": 0.5, "num": 2},
        "from 1000 px": {"share": None, "num": 0},
    }
    assert metrics["by_center"]["recall"] == metrics["by_center"]["precision"] == 0.5


def test_without_ships_and_detections_scores_are_not_made_up() -> None:
    metrics = metrics_of([], looked_at_km2=9.0, scenes=["sea"])
    assert metrics["by_iou"]["recall"] is None
    assert metrics["by_iou"]["precision"] is None
    assert metrics["false_alarms_per_1000km2"] == 0.0
    assert metrics["errors"]["length_m"]["all"]["num"] == 0


def _table(path: Path, crs: str | None = "EPSG:32631", *, drop: str = "") -> Path:
    facts = {"length_m": [60.0], "width_m": [20.0], "heading_deg": [90.0]}
    facts.pop(drop, None)
    frame = geopandas.GeoDataFrame(facts, geometry=[shapely.box(499_020, 5_599_940, 499_080, 5_599_960)], crs=crs)
    frame.to_file(path, driver="GPKG", layer="ships")
    return path


def test_true_ships_are_read_into_pixels_of_the_scene(tmp_path: Path) -> None:
    (found,) = read_ships(_table(tmp_path / "a.gpkg"), GEOREF)
    assert found.polygon_px.bounds == pytest.approx((10, 20, 40, 30))
    assert (found.length_m, found.cut, found.confidence, found.label_m) == (60.0, False, None, None)
    assert found.lon == pytest.approx(3 - 950 * 180 / (math.pi * 6_378_137 * math.cos(math.radians(50.5))), abs=1e-4)
    frame = geopandas.read_file(tmp_path / "a.gpkg").to_crs("EPSG:4326").assign(id="Ever Given")
    frame.to_file(tmp_path / "b.gpkg", driver="GPKG", layer="somewhere")
    (moved,) = read_ships(tmp_path / "b.gpkg", GEOREF)
    assert moved.polygon_px.bounds == pytest.approx((10, 20, 40, 30), abs=1e-3)
    assert moved.number == 1


def test_truth_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column heading_deg: true ships need length_m, width_m, heading_deg"):
        read_ships(_table(tmp_path / "a.gpkg", drop="heading_deg"), GEOREF)
    (tmp_path / "b.gpkg").write_text("no database")
    with pytest.raises(DataError, match="cannot be read"):
        read_ships(tmp_path / "b.gpkg", GEOREF)
    frame = geopandas.read_file(_table(tmp_path / "d.gpkg"))
    frame["length_m"] = None
    frame.to_file(tmp_path / "e.gpkg", driver="GPKG", layer="ships")
    with pytest.raises(DataError, match="ship 1 of .*e.gpkg has no number in the column length_m: fill it in"):
        read_ships(tmp_path / "e.gpkg", GEOREF)
    with pytest.raises(DataError, match="without a place on Earth"):
        read_ships(_table(tmp_path / "c.gpkg"), GeoReference.without((10, 10), "it has none"))


def test_ships_in_a_system_that_no_transformation_leads_from_are_one_sentence(tmp_path: Path) -> None:
    harbour = 'ENGCRS["harbour",EDATUM["quay"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    facts = {"length_m": [9.0], "width_m": [3.0], "heading_deg": [0.0]}
    file = tmp_path / "a.ships.gpkg"
    geopandas.GeoDataFrame(facts, geometry=[shapely.box(0, 0, 3, 9)], crs=harbour).to_file(file)
    with pytest.raises(DataError, match=r"cannot be placed on the scene \(EPSG:32631 .*no transformation leads there"):
        read_ships(file, GEOREF)


def test_what_gdal_cannot_read_is_said_without_its_advice(tmp_path: Path) -> None:
    (tmp_path / "a.ships.gpkg").write_bytes(b"")
    with pytest.raises(DataError, match=r"\(not recognized as being in a supported file format\): is it"):
        read_ships(tmp_path / "a.ships.gpkg", GEOREF)
