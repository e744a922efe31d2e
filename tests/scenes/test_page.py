"""The report of a scene: one file with every ship and the status of the tiles; sortable; reproducible."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shipseg.geo.georef import GeoReference
from shipseg.masks.ships import ships_from_mask
from shipseg.scenes.page import read_close_ups, write_scene_page
from shipseg.scenes.ships import SceneShips, measure_ships
from shipseg.tiling import Window

pytest.importorskip("rasterio")
pytest.importorskip("jinja2")

SHAPE = (400, 600)
UTM = GeoReference.of((1.5, 0.0, 500_000.0, 0.0, -1.5, 5_600_000.0), "EPSG:32631", SHAPE)
WITHOUT_GEOREF = GeoReference.without(SHAPE, "a photograph")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def ships_of(georef: GeoReference, *, count: int = 3) -> SceneShips:
    mask_hw = np.zeros(SHAPE, bool)
    for number, (length, row) in enumerate(zip((60, 20, 90), (0, 100, 200), strict=True)):
        if number < count:
            mask_hw[row : row + 8, 50 : 50 + length] = True
    found = [(ship, ship.mask_box[0] == 0) for ship in ships_from_mask(mask_hw)]
    return measure_ships(found, georef, scene="harbour <1>", shape=SHAPE)


def facts_of(ships: SceneShips, **changes: Any) -> dict[str, Any]:
    has_georef = ships.georef.crs_wkt is not None
    scene = {
        "path": "/data/harbour.tif",
        "dtype": "uint16",
        "bands": [4, 3, 2],
        "crs": ships.georef.crs_name,
        "metres_per_row_and_column": [1.5, 1.5] if has_georef else None,
        "acquired": None,
        "notes": ["the bands were chosen by their names", "values 210 to 1890 are stretched to 0-255"],
    }
    facts = {
        "scene": scene,
        "model": "coast-1",
        "decision": {"threshold": 0.42, "min_peak": 0.9, "min_area_px": 6, "separate": True},
        "num_cut": sum(ship.cut for ship in ships.ships),
        "looked_at_px": 240_000,
        "looked_at_km2": 0.54 if has_georef else None,
        "tiles": {"network": 12, "no data": 0, "outside": 5, "gate": 3},
        "dropped": [],
        "files": ["ships.gpkg", "scene.json"],
        "identity": {"options": {"water": None, "area": None}},
    }
    return facts | changes


def page_of(folder: Path, ships: SceneShips, **changes: Any) -> str:
    drawn_hwc = np.full((300, 450, 3), 90, np.uint8)
    square_hwc = np.full((144, 144, 3), 90, np.uint8)
    close_ups = {ship.id: square_hwc for ship in ships.ships}
    path = write_scene_page(folder / "report.html", drawn_hwc, ships, facts_of(ships, **changes), close_ups=close_ups)
    return path.read_text()


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<main>")[0].partition("<body>")[2] + page).split())


def test_the_page_names_the_polygons_of_the_area(tmp_path: Path) -> None:
    requested = {"options": {"water": None, "area": {"name": "bay.geojson", "sha256": "0"}}}
    page = page_of(tmp_path, ships_of(UTM), identity=requested)
    assert "<dt>Only area</dt><dd>inside the polygons of bay.geojson</dd>" in page
    assert "Only water" not in page


def test_a_page_describes_the_results(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, ships_of(UTM)))
    assert "3 ships were found in 0.54 km²." in text
    assert "They are 30 to 135 m long, half of them above 90 m." in text
    assert "1 touches the edge of the predicted pixels" in text
    assert "90° or 270°" in text
    assert "Bow and stern are not distinguished" in text
    assert "Read as the bands were chosen by their names; values 210 to 1890 are stretched to 0-255" in text
    assert "12 predicted by the network ; 5 skipped: outside" in text.replace(";", " ;").replace("  ", " ")
    assert "no valid pixels" not in text
    assert "threshold 0.42, peak threshold 0.9, at least 6 pixels, touching ships are split" in text


def test_a_page_embeds_all_images_and_escapes_names(tmp_path: Path) -> None:
    page = page_of(tmp_path, ships_of(UTM))
    addresses = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(addresses) == 4  # the quicklook and three close-ups
    assert all(address.startswith("data:image/jpeg") for address in addresses)
    assert "://" not in page  # "http" alone may be in the base64 of an image
    assert "harbour &lt;1&gt;" in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_same_scene_gives_the_same_page(tmp_path: Path) -> None:
    assert page_of(tmp_path / "1", ships_of(UTM)) == page_of(tmp_path / "2", ships_of(UTM))


def test_a_scene_without_a_georeference_is_described_in_pixels(tmp_path: Path) -> None:
    text = text_of(page_of(tmp_path, ships_of(WITHOUT_GEOREF)))
    assert "3 ships were found in 240,000 pixels." in text
    assert "The scene has no usable georeference: a photograph" in text
    assert "directions are in degrees clockwise from up in the image" in text
    assert "Direction in the image" in text
    assert re.search(r"\d\.\d px", text)
    assert "km²" not in text


def test_an_empty_scene_has_a_page_without_a_table(tmp_path: Path) -> None:
    page = page_of(tmp_path, ships_of(UTM, count=0))
    assert "No ship was found in 0.54 km²." in text_of(page)
    assert "<table" not in page


def test_dropped_regions_are_listed_with_their_reasons(tmp_path: Path) -> None:
    part = {"box": [0, 10, 5000, 6010], "area_px": 9, "reason": "a region of 5000 x 6000 pixels is no ship"}
    text = text_of(page_of(tmp_path, ships_of(UTM), dropped=[part] * 23))
    assert "a region of 5000 x 6000 pixels is no ship (rows 0 to 5,000, columns 10 to 6,010)" in text
    assert "and 3 more, see scene.json" in text


def test_close_ups_are_read_around_the_ships_and_inside_the_scene() -> None:
    requested: list[Window] = []

    def read(window: Window) -> tuple[Any, Any]:
        requested.append(window)
        return np.full((window.height, window.width, 3), 60, np.uint8), np.ones((window.height, window.width), bool)

    shown = read_close_ups(read, ships_of(UTM))
    assert list(shown) == [1, 2, 3]
    assert all(square_hwc.shape == (144, 144, 3) for square_hwc in shown.values())
    # One and a half times the longer side, at least 40 pixels; the first ship is at the upper edge of the scene.
    assert requested == [Window(0, 35, 49, 90), Window(84, 40, 40, 40), Window(136, 27, 135, 135)]
    assert (shown[1][:60] == (88, 92, 98)).all()  # above the scene
    assert (np.abs(shown[3].astype(int) - (255, 64, 180)).sum(axis=-1) < 150).any()


def test_a_page_needs_no_package_beyond_the_extra_geo(tmp_path: Path) -> None:
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "matplotlib", "sklearn", "pycocotools", "PIL", "safetensors", "timm"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import shipseg.scenes.page
import test_page
test_page.page_of(Path(sys.argv[1]), test_page.ships_of(test_page.UTM))
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert (tmp_path / "report.html").exists()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")
def test_a_click_on_a_column_header_sorts_the_table(tmp_path: Path) -> None:
    page_of(tmp_path, ships_of(UTM))
    path = tmp_path / "report.html"
    click = "<script>const head = document.querySelectorAll('th[data-sort]')[1]; head.click(); {}</script></body>"
    for clicks, expected in ((0, ["2", "1", "3"]), (1, ["3", "1", "2"])):
        changed = path.read_text().replace("</body>", click.format("head.click();" * clicks))
        (tmp_path / "clicked.html").write_text(changed)
        command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        done = subprocess.run([*command, f"file://{tmp_path}/clicked.html"], capture_output=True, text=True, check=True)
        assert re.findall(r'<th scope="row"[^>]*>(\d+)</th>', done.stdout) == expected
