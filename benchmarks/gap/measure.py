"""Measurements of an image: the statistics of each patch of 128 px, from its pixels alone.

Real and synthetic images are measured by the same functions, without labels.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.fft
from benchmarks.gap.catalogue import (
    BAND_EDGES,
    BAND_NAMES,
    BLUR_SIGMAS,
    DIRECTION_BANDS,
    GRADIENT_STEPS,
    STATISTICS,
    WINDOWS_PX,
)
from benchmarks.gap.grounds import classify_ground
from numpy.typing import NDArray

from shipseg.data.groups import describe_texture
from shipseg.errors import DataError
from shipseg.reading import read_image

__all__ = ["PATCH_PX", "ImageFacts", "jpeg_facts", "measure_image", "measure_patches"]

FloatArray = NDArray[np.float32]
Found = dict[str, FloatArray]

PATCH_PX = 128
SPECK_STEP = 20.0
"""Grey levels above (or below) the surroundings that make a pixel a speck."""
OUTLIER_STD = 4.0
"""The same in standard deviations of the patch's detail."""
SURROUNDINGS_SIGMA = 4.0
CELL_PX = 16
TINY = 1e-3


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Measurements of one image.

    Attributes:
        path: The file.
        values: float32 (patches, statistics), in the order of `STATISTICS`.
        grounds: Ground of each patch: sea, land, mixed or flat.
        corners_rc: int64 (patches, 2), first row and column of each patch.
        texture: int8, see `shipseg.data.groups`: to detect overlapping images.
        file_kb: Size of the file in 1000 bytes.
        quantisation: Mean of the JPEG's luminance table, NaN for other files; 1 is the finest.
        chroma_halved: Whether the JPEG's colours have half the resolution.
    """

    path: Path
    values: FloatArray
    grounds: NDArray[np.str_]
    corners_rc: NDArray[np.int64]
    texture: NDArray[np.int8]
    file_kb: float
    quantisation: float
    chroma_halved: bool


def measure_image(path: Path) -> ImageFacts:
    """Return the measurements of an image file.

    Raises:
        DataError: It is smaller than a patch, or cannot be read.
    """
    image = read_image(path)
    rows, cols = (side // PATCH_PX for side in image.shape[:2])
    if min(rows, cols) == 0:
        raise DataError(f"{path} is smaller than {PATCH_PX} x {PATCH_PX} px: leave it out")
    data = path.read_bytes()
    quantisation, halved = jpeg_facts(data)
    texture = describe_texture(image)
    image = np.ascontiguousarray(image[: rows * PATCH_PX, : cols * PATCH_PX])
    values, cells = measure_patches(image)
    return ImageFacts(
        path=path,
        values=values,
        grounds=classify_ground(cells),
        corners_rc=np.stack(np.divmod(np.arange(rows * cols), cols), axis=1) * PATCH_PX,
        texture=texture,
        file_kb=len(data) / 1000,
        quantisation=quantisation,
        chroma_halved=halved,
    )


def jpeg_facts(data: bytes) -> tuple[float, bool]:
    """Return the mean of a JPEG's luminance quantisation and whether its colours are halved; (NaN, False) for others.

    Source: ITU-T T.81, B.2: a segment is 0xFF, a marker and a length; DQT is 0xDB, SOF0 to SOF2 are 0xC0 to 0xC2.
    """
    quantisation, halved, at = math.nan, False, 2
    if data[:2] != b"\xff\xd8":
        return quantisation, halved
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        marker, body = data[at + 1], data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4])]
        if marker == 0xDB and math.isnan(quantisation):
            wide = body[0] >> 4
            quantisation = float(np.frombuffer(body[1 : 65 + 64 * wide], ">u2" if wide else np.uint8).mean())
        elif marker in (0xC0, 0xC1, 0xC2) and body[5] == 3:
            halved = body[7] != body[10]
        at += 4 + len(body)
    return quantisation, halved


def measure_patches(image_hwc: NDArray[np.uint8]) -> tuple[FloatArray, Found]:
    """Return the statistics of each patch, (patches, statistics), and its cells of 16 px, (patches, cells) by name.

    Args:
        image_hwc: (H, W, 3) uint8 RGB; both sides multiples of 128.
    """
    red, green, blue = (np.ascontiguousarray(image_hwc[..., band], np.float32) for band in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    blueness, redness = 0.564 * (blue - luma), 0.713 * (red - luma)
    plain = {"red": red, "green": green, "blue": blue, "luminance": luma, "blueness": blueness, "redness": redness}
    found: Found = {name: _mean(band) for name, band in plain.items()}
    found["share with a band at 0"] = _mean((cv2.min(cv2.min(red, green), blue) < 1).astype(np.float32))
    found["share with a band at 255"] = _mean((cv2.max(cv2.max(red, green), blue) > 254).astype(np.float32))
    centered = luma - luma.mean(dtype=np.float64).astype(np.float32)
    found |= _contrasts(centered) | _spectrum(centered) | _bands((red, green, blue), blueness, redness, centered)
    found |= _shapes(centered) | _gradients(centered) | _specks(centered)
    found["steps at 8 px edges over steps inside"] = _edge_steps(luma)
    cells = {name: _cells(_mean(band, CELL_PX)) for name, band in plain.items()}
    variance = np.maximum(_mean(centered * centered, CELL_PX) - _mean(centered, CELL_PX) ** 2, 0.0)
    cells["std"] = _cells(np.sqrt(variance))
    return np.stack([found[item.name].ravel() for item in STATISTICS], axis=1).astype(np.float32), cells


def _mean(map_hw: FloatArray, size: int = PATCH_PX) -> FloatArray:
    """Return the mean of each square of `size` px, (rows, cols)."""
    height, width = map_hw.shape
    return cv2.resize(map_hw, (width // size, height // size), interpolation=cv2.INTER_AREA).astype(np.float32)


def _cells(cells: FloatArray) -> FloatArray:
    """Return the cells of an image, (rows, cols), patch by patch: (patches, cells of one patch)."""
    count = PATCH_PX // CELL_PX
    rows, cols = cells.shape[0] // count, cells.shape[1] // count
    return np.asarray(cells.reshape(rows, count, cols, count).swapaxes(1, 2).reshape(rows * cols, -1), np.float32)


def _blurred(map_hw: FloatArray, sigma: float) -> FloatArray:
    size = 2 * math.ceil(2.5 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(map_hw, (size, size), sigma, borderType=cv2.BORDER_REFLECT), np.float32)


def _contrasts(luma: FloatArray) -> Found:
    square = luma * luma
    found = {"std of luminance": np.sqrt(np.maximum(_mean(square) - _mean(luma) ** 2, 0.0))}
    for size in WINDOWS_PX:
        mean = cv2.boxFilter(luma, -1, (size, size), borderType=cv2.BORDER_REFLECT)
        variance = cv2.boxFilter(square, -1, (size, size), borderType=cv2.BORDER_REFLECT) - mean * mean
        found[f"local contrast at {size} px"] = _mean(np.sqrt(np.maximum(variance, 0.0)))
    return found


@functools.lru_cache(maxsize=1)
def _band_sums() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the window of a patch, the matrix that sums power by band and direction, and the bands' log frequency."""
    rows, cols = np.fft.fftfreq(PATCH_PX)[:, None], np.fft.rfftfreq(PATCH_PX)[None, :]
    radius, turn = np.hypot(rows, cols).ravel(), 2 * np.arctan2(rows, cols).ravel()
    twice = np.broadcast_to(np.where((cols > 0) & (cols < 0.5), 2.0, 1.0), (PATCH_PX, PATCH_PX // 2 + 1)).ravel()
    ring = np.hanning(PATCH_PX + 1)[:-1]
    window = np.outer(ring, ring)
    scale = twice / (PATCH_PX**2 * (window**2).sum())
    sums = []
    for low, high in itertools.pairwise(BAND_EDGES):
        inside = ((radius >= low) & (radius < high)) * scale
        sums += [inside, inside * np.cos(turn), inside * np.sin(turn)]
    centers = np.log(np.sqrt(np.array(BAND_EDGES[:-1]) * np.array(BAND_EDGES[1:])))
    return window.astype(np.float32), np.stack(sums, 1).astype(np.float32), centers.astype(np.float32)


def _spectrum(luma: FloatArray) -> Found:
    """Return strength (std), share and direction of the waves in each band, and the slope of the long ones' power."""
    window, sums, log_frequency = _band_sums()
    height, width = luma.shape
    shape = (height // PATCH_PX, PATCH_PX, width // PATCH_PX, PATCH_PX)
    patches = luma.reshape(shape).swapaxes(1, 2).reshape(-1, PATCH_PX, PATCH_PX)
    patches = (patches - patches.mean((1, 2), keepdims=True)) * window
    power = np.abs(scipy.fft.rfft2(patches)) ** 2
    table = (power.reshape(len(patches), -1) @ sums).reshape(len(patches), -1, 3)
    variance = np.maximum(table[..., 0], TINY**2)
    share = variance / variance.sum(1, keepdims=True)
    found = {f"strength of waves of {name} px": np.sqrt(variance[:, k]) for k, name in enumerate(BAND_NAMES)}
    found |= {f"share of waves of {name} px": share[:, k] for k, name in enumerate(BAND_NAMES)}
    areas = np.diff(np.square(BAND_EDGES))
    steps = log_frequency[:4] - log_frequency[:4].mean()
    density = np.log(variance[:, :4] / areas[:4])
    found["spectral slope, 8-64 px"] = np.asarray(density @ steps / (steps @ steps), np.float32)
    for name, (first, end) in DIRECTION_BANDS.items():
        total = table[:, first:end].sum(1)
        strength = np.hypot(total[:, 1], total[:, 2]) / np.maximum(total[:, 0], TINY**2)
        found[f"direction of waves of {name} px"] = np.asarray(strength, np.float32)
    return found


def _bands(
    rgb: tuple[FloatArray, FloatArray, FloatArray], blueness: FloatArray, redness: FloatArray, luma: FloatArray
) -> Found:
    """Return the variation of the colours, and the relation of their fine detail to that of luminance."""
    found = {}
    for name, band in (("blueness", blueness), ("redness", redness)):
        found[f"std of {name}"] = np.sqrt(np.maximum(_mean(band * band) - _mean(band) ** 2, 0.0))
    fine = [band - _blurred(band, 2.0) for band in (blueness, redness, luma)]
    power = [_mean(band * band) for band in fine]
    found["colour detail over luminance detail"] = np.sqrt((power[0] + power[1]) / (power[2] + TINY))
    red, green, blue = (band - _blurred(band, 2.0) for band in rgb)
    for name, one, other in (("red and green", red, green), ("green and blue", green, blue)):
        spread = np.sqrt(_mean(one * one) * _mean(other * other)) + TINY
        found[f"correlation of {name} detail"] = _mean(one * other) / spread
    return found


def _shapes(luma: FloatArray) -> Found:
    """Return skewness, kurtosis and patchiness of differences of Gaussians."""
    found = {}
    blurs = [_blurred(luma, sigma) for sigma in BLUR_SIGMAS]
    for k, sigma in enumerate(BLUR_SIGMAS[:-1]):
        detail = blurs[k] - blurs[k + 1]
        square = detail * detail
        variance = _mean(square) + TINY**2
        found[f"skewness of detail at {sigma} px"] = _mean(square * detail) / variance**1.5
        found[f"log kurtosis of detail at {sigma} px"] = np.log(_mean(square * square) / variance**2 + 0.1)
        cells = np.log(_cells(_mean(square, CELL_PX)) + TINY)
        found[f"patchiness of detail at {sigma} px"] = cells.std(1)
    return found


def _gradients(luma: FloatArray) -> Found:
    across = cv2.filter2D(luma, -1, np.array([[-0.5, 0.0, 0.5]]), borderType=cv2.BORDER_REFLECT)
    down = cv2.filter2D(luma, -1, np.array([[-0.5], [0.0], [0.5]]), borderType=cv2.BORDER_REFLECT)
    size = np.sqrt(across * across + down * down)
    found = {"mean gradient": _mean(size)}
    for step in GRADIENT_STEPS:
        found[f"share of gradients above {step}"] = _mean((size > step).astype(np.float32))
    # Eigenvalues of the structure tensor over neighbourhoods of 16 px: 0 no direction, 1 one direction only.
    one, other, both = (_mean(part, CELL_PX) for part in (across * across, down * down, across * down))
    coherence = np.hypot(one - other, 2 * both) / (one + other + TINY)
    found["coherence of gradients"] = _cells(coherence).mean(1)
    return found


def _specks(luma: FloatArray) -> Found:
    detail = luma - _blurred(luma, SURROUNDINGS_SIGMA)
    spread = np.sqrt(_mean(detail * detail)) + TINY
    limit = OUTLIER_STD * np.kron(spread, np.ones((PATCH_PX, PATCH_PX), np.float32))
    found = {}
    for side, signed in (("bright", detail), ("dark", -detail)):
        found[f"{side} specks per 10,000 px"] = 1e4 * _mean((signed > SPECK_STEP).astype(np.float32))
        found[f"{side} outliers per 10,000 px"] = 1e4 * _mean((signed > limit).astype(np.float32))
    return found


def _edge_steps(luma: FloatArray) -> FloatArray:
    """Return the mean step across the edges of the JPEG's blocks over that in their middle; about 1 without JPEG."""
    edge, inside = np.zeros(luma.shape, np.float32), np.zeros(luma.shape, np.float32)
    steps = np.abs(np.diff(luma, axis=1))
    edge[:, 8::8], inside[:, 4::8] = steps[:, 7::8], steps[:, 3::8]
    ratio = _mean(edge) / (_mean(inside) + TINY)
    ratio[:, 0] *= 16 / 15  # the first of the 16 edges of a patch is the border of the image, without a step
    return np.asarray(np.minimum(ratio, 4.0), np.float32)
