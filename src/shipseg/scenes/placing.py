"""Where an open raster lies: its geotransform, else its ground control points, else nowhere, with the reason said."""

from __future__ import annotations

from typing import Any

import numpy as np

from shipseg.geo.georef import IDENTITY, GeoReference, Transform

__all__ = ["georeference_of"]

_POINTS_NEEDED = 3  # for a transform of six numbers


def georeference_of(dataset: Any) -> GeoReference:
    """Return where the pixels of an open rasterio dataset are.

    A dataset with ground control points and no geotransform gets the transform that fits them best; the note states
    the residual. Rational polynomial coefficients need a model of heights and are not used, which the note says.
    """
    shape = (dataset.height, dataset.width)
    transform = _transform(dataset.transform)
    points, points_crs = dataset.gcps
    if transform != IDENTITY:
        return GeoReference.of(transform, _wkt(dataset.crs), shape)
    if points:
        return _from_points(points, _wkt(points_crs), shape)
    if dataset.rpcs is not None:
        return GeoReference.nowhere(
            shape,
            "the scene has only rational polynomial coefficients (RPC), which need a height model "
            "(orthorectify it first, for example with gdalwarp -rpc)",
        )
    return GeoReference.nowhere(shape, f"the scene has no {'geotransform' if dataset.crs else 'georeference'}")


def _from_points(points: list[Any], crs_wkt: str | None, shape: tuple[int, int]) -> GeoReference:
    from rasterio.transform import from_gcps

    if crs_wkt is None:
        return GeoReference.nowhere(shape, "the scene's ground control points have no coordinate reference system")
    at_n2 = np.array([(point.col, point.row) for point in points], float)
    if len(points) < _POINTS_NEEDED or np.linalg.matrix_rank(at_n2 - at_n2[0]) < 2:
        return GeoReference.nowhere(
            shape, f"the scene has {len(points)} ground control points where three that are not in line are needed"
        )
    fitted = GeoReference.of(_transform(from_gcps(points)), crs_wkt, shape)
    if fitted.crs_wkt is None:
        return fitted
    away_n2 = fitted.pixels(np.array([(point.x, point.y) for point in points], float)) - at_n2
    steps = [fitted.local_metres(col, row) for col, row in at_n2]
    away_m = [float(np.hypot(*(step @ away))) for step, away in zip(steps, away_n2, strict=True) if step is not None]
    note = (
        f"the transform was fitted to {len(points)} ground control points, which lie "
        f"{np.sqrt(np.mean(np.square(away_m))):.2f} m off it (root mean square; at most {max(away_m):.2f} m)"
    )
    return GeoReference.of(fitted.transform, crs_wkt, shape, note=note)


def _transform(affine: Any) -> Transform:
    a, b, c, d, e, f = affine[:6]
    return float(a), float(b), float(c), float(d), float(e), float(f)


def _wkt(crs: Any) -> str | None:
    return crs.to_wkt(version="WKT2_2019") if crs else None
