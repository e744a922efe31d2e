"""Random fields: fractal noise and wave fields, each with mean 0 and standard deviation 1."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
import scipy.fft
from numpy.typing import DTypeLike, NDArray
from scipy.special import ndtr

from shipseg.synth.distributions import Rng, chance, log_uniform, uniform
from shipseg.synth.endless_noise import PlacedRng, endless_noise, endless_white

__all__ = ["FloatArray", "blurred", "even_noise", "fractal_noise", "soft_step", "wave_field"]

FloatArray = NDArray[np.float32]

MAX_PERIOD_PX = 2048
"""Period of the wave fields of larger images, which bounds the memory."""
ENDLESS_PERIODS_PX = (2048, 1800)
"""Wave fields of a window are the sum of two fields with these periods; the sum has a period of 460,800 px."""


def blurred(values: FloatArray, sigma_px: float) -> FloatArray:
    """Return the array after a Gaussian blur with reflected borders."""
    size = 2 * math.ceil(3.0 * sigma_px) + 1
    return np.asarray(cv2.GaussianBlur(values, (size, size), sigma_px, borderType=cv2.BORDER_REFLECT), np.float32)


def soft_step(values: FloatArray, width: float = 1.0) -> FloatArray:
    """Return the logistic function of values / width: 0 far below zero, 1 far above it."""
    return np.asarray(0.5 + 0.5 * np.tanh(values / (2.0 * width)), np.float32)


def fractal_noise(
    rng: Rng, shape: tuple[int, int], wavelength_px: float, *, octaves: int = 4, gain: float = 0.55
) -> FloatArray:
    """Return smooth noise: a sum of octaves of random grids, the coarsest with cells of `wavelength_px`.

    Returns:
        (H, W) float32, about mean 0 and standard deviation 1.
    """
    if isinstance(rng, PlacedRng):
        return endless_noise(rng, shape, wavelength_px, octaves=octaves, gain=gain)
    total = np.zeros(shape, np.float32)
    weight, power = 1.0, 0.0
    for _ in range(octaves):
        cells = tuple(min(side, math.ceil(side / wavelength_px) + 3) for side in shape)
        grid = rng.standard_normal(cells, dtype=np.float32)
        # A window of the enlarged grid at a random offset, so that cell edges have random positions.
        scale = max(wavelength_px, 1.0)
        shift = rng.uniform(0.0, 1.0, 2)
        matrix = np.array([[1 / scale, 0, shift[0]], [0, 1 / scale, shift[1]]], np.float64)
        flags = (cv2.INTER_CUBIC if scale > 4 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
        total += np.float32(weight) * cv2.warpAffine(
            grid, matrix, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REFLECT
        )
        power += weight * weight
        weight *= gain
        wavelength_px /= 2.0
        if wavelength_px < 1.2:
            break
    return np.asarray(total * np.float32(1.6 / math.sqrt(power)), np.float32)


def even_noise(
    rng: Rng, shape: tuple[int, int], *, bands: int | None = None, dtype: DTypeLike = np.float32
) -> NDArray[np.floating]:
    """Return independent numbers, uniform from 0 to 1: (H, W), or (H, W, bands), of `dtype`."""
    if isinstance(rng, PlacedRng):
        key = int(rng.integers(1 << 62))
        fields = [endless_white((key, band), origin_rc=rng.origin_rc, shape=shape) for band in range(bands or 1)]
        values = ndtr(fields[0] if bands is None else np.dstack(fields))
        return np.asarray(values, dtype)
    return np.asarray(rng.random(shape if bands is None else (*shape, bands), dtype=dtype))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=4)
def _frequencies(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    rows = np.fft.fftfreq(height)[:, None]
    cols = np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(rows, cols).astype(np.float32)
    radius[0, 0] = 1e-6
    return radius, np.arctan2(rows, cols).astype(np.float32)


def _scaled(power: FloatArray, variance: float) -> FloatArray:
    power[0, 0] = 0.0
    return np.asarray(power * (variance / max(float(power.sum()), 1e-20)), np.float32)


def _wind_sea(rng: Rng, radius: FloatArray, angle: FloatArray, direction_rad: float) -> FloatArray:
    """Return the power spectrum of wind waves: a peak, a falling tail, crests across the wind with some spread."""
    peak = 1.0 / log_uniform(rng, 4.0, 26.0)
    ratio = radius / peak
    tail = uniform(rng, 2.0, 3.6)
    shape = np.power(ratio, -tail) * np.exp(-np.power(np.maximum(ratio, 0.25), -3.0))
    focus = math.exp(rng.uniform(math.log(0.3), math.log(9.0)))
    along = np.cos(angle - direction_rad) ** 2
    spread = np.power(along, focus) + uniform(rng, 0.02, 0.35)
    return _scaled(np.asarray(shape * spread, np.float32), 1.0)


def _swell(rng: Rng, radius: FloatArray, angle: FloatArray, direction_rad: float) -> FloatArray:
    """Return the power spectrum of a swell: a narrow band of long, nearly parallel waves."""
    peak = 1.0 / log_uniform(rng, 16.0, 80.0)
    band = np.exp(-((np.log(radius / peak) / uniform(rng, 0.12, 0.3)) ** 2))
    along = np.cos(angle - direction_rad) ** 2
    return _scaled(np.asarray(band * along ** log_uniform(rng, 6.0, 60.0), np.float32), log_uniform(rng, 0.02, 0.5))


def wave_field(rng: Rng, shape: tuple[int, int], direction_rad: float) -> FloatArray:
    """Return the brightness of waves that travel along `direction_rad` (image axes, x right, y down).

    Wind waves, often a swell at an angle to them, sometimes a second system; crests are sharper than troughs.

    Returns:
        (H, W) float32, mean 0, standard deviation 1.
    """
    if isinstance(rng, PlacedRng):
        return _endless_waves(rng, shape, direction_rad)
    size = tuple(int(scipy.fft.next_fast_len(min(side, MAX_PERIOD_PX), real=True)) for side in shape)
    field = _periodic_waves(rng, (size[0], size[1]), direction_rad)
    repeats = tuple(-(-side // period) for side, period in zip(shape, field.shape, strict=True))
    if repeats != (1, 1):
        field = np.tile(field, repeats)
    return np.ascontiguousarray(field[: shape[0], : shape[1]])


def _endless_waves(rng: PlacedRng, shape: tuple[int, int], direction_rad: float) -> FloatArray:
    seed = int(rng.integers(1 << 62))
    total = np.zeros(shape, np.float32)
    for period in ENDLESS_PERIODS_PX:
        field = _cached_waves(seed, period, direction_rad)
        rows, cols = (
            (start + np.arange(side) * rng.step) % period for start, side in zip(rng.origin_rc, shape, strict=True)
        )
        total += field[np.ix_(rows, cols)]
    return np.asarray(total / np.float32(math.sqrt(len(ENDLESS_PERIODS_PX))), np.float32)


@functools.lru_cache(maxsize=2)
def _cached_waves(seed: int, period_px: int, direction_rad: float) -> FloatArray:
    """Return one period of waves; cached, since all windows of a scene use the same."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return _periodic_waves(rng, (period_px, period_px), direction_rad)


def _periodic_waves(rng: Rng, shape: tuple[int, int], direction_rad: float) -> FloatArray:
    """Return a wave field of this shape with periodic borders."""
    height, width = shape
    radius, angle = _frequencies(height, width)
    power = _wind_sea(rng, radius, angle, direction_rad)
    if chance(rng, 0.25):
        power = power + 0.6 * _wind_sea(rng, radius, angle, direction_rad + rng.normal(0.0, 0.8))
    if chance(rng, 0.35):
        power = power + _swell(rng, radius, angle, direction_rad + rng.normal(0.0, 0.6))
    slow = _scaled(np.power(radius + 0.004, -uniform(rng, 2.0, 3.2), dtype=np.float32), log_uniform(rng, 0.01, 0.2))
    spectrum = scipy.fft.rfft2(rng.standard_normal((height, width), dtype=np.float32))
    spectrum *= np.sqrt(power + slow)
    field = np.asarray(scipy.fft.irfft2(spectrum, (height, width)), np.float32)
    field /= np.float32(field.std() + 1e-12)
    skew = np.float32(uniform(rng, -0.08, 0.22))
    field = field + skew * (field * field - 1.0)
    field /= np.float32(field.std())
    return field
