"""The sensor and its ground processing: optics, noise, pan-sharpening, gain, quantisation, JPEG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.synth.distributions import Rng, chance, log_uniform, uniform
from shipseg.synth.paint.fields import FloatArray, blurred

__all__ = ["Sensor", "WhiteNoise", "decode_jpeg", "draw_sensor", "encode_jpeg", "expose"]

PAN_WEIGHTS = (0.36, 0.38, 0.26)
"""Weights of red, green and blue in the panchromatic band."""


@dataclass(frozen=True)
class Sensor:
    """Parameters of the sensor of one scene.

    Attributes:
        optics_px: Blur of the panchromatic band, Gaussian sigma.
        color_px: Blur of the colour bands, which are four times coarser, Gaussian sigma.
        color_noise: Standard deviation of the noise of the colour bands, in grey levels on water of medium brightness.
        color_noise_px: Correlation length of that noise, Gaussian sigma.
        noise: Standard deviation of the panchromatic noise before sharpening, in grey levels.
        resample_px: Blur of the resampling to 1.5 m along x and y, which removes all above 0.3 cycles per pixel.
        sharpen: Strength of the sharpening after it.
        sharpen_px: Width of the sharpening, Gaussian sigma.
        gain: Contrast, RGB.
        offset: Black level in grey levels; negative values clip dark pixels.
        gamma: Exponent of the display curve.
        misregistration_px: Shift of the red band, (x, y).
        scene_quality: JPEG quality of the delivered scene, before tiles were cut from it and compressed again.
        jpeg_quality: JPEG quality of the image, 0-100; the challenge's tiles have 95.
    """

    optics_px: float
    color_px: float
    color_noise: float
    color_noise_px: float
    noise: float
    resample_px: tuple[float, float]
    sharpen: float
    sharpen_px: float
    gain: tuple[float, float, float]
    offset: float
    gamma: float
    misregistration_px: tuple[float, float]
    scene_quality: int
    jpeg_quality: int


@dataclass(frozen=True, eq=False)
class WhiteNoise:
    """The sensor noise before scaling and blurring: independent normal numbers, float32.

    Attributes:
        pan_hw: (H, W), of the panchromatic band.
        colors_hwc: (H/2, W/2, 3), rounded up, of the colour bands.
    """

    pan_hw: FloatArray
    colors_hwc: FloatArray


def draw_sensor(rng: Rng) -> Sensor:
    """Return a random sensor, similar to the one measured on calm tiles (spectra)."""
    common = math.exp(rng.normal(0.0, 0.09))
    clipped = chance(rng, 0.1)
    resample, stretch = uniform(rng, 0.95, 1.3), math.exp(rng.normal(0.06, 0.05))
    return Sensor(
        optics_px=uniform(rng, 0.3, 0.8),
        color_px=uniform(rng, 1.2, 2.3),
        color_noise=log_uniform(rng, 0.8, 1.7),
        color_noise_px=uniform(rng, 2.0, 4.0),
        noise=log_uniform(rng, 3.4, 7.0) if chance(rng, 0.92) else log_uniform(rng, 0.4, 3.4),
        resample_px=(resample * stretch, resample / stretch),
        sharpen=uniform(rng, 1.6, 4.0),
        sharpen_px=uniform(rng, 1.1, 1.6),
        gain=tuple(common * math.exp(rng.normal(0.0, 0.02)) for _ in range(3)),  # type: ignore[arg-type]
        offset=-uniform(rng, 8, 45) if clipped else rng.normal(0.0, 3.0),
        gamma=math.exp(rng.normal(0.0, 0.08)),
        misregistration_px=tuple(rng.normal(0.0, 0.5, 2).tolist()) if chance(rng, 0.15) else (0.0, 0.0),
        scene_quality=int(rng.integers(80, 93)),
        jpeg_quality=95 if chance(rng, 0.95) else int(rng.integers(90, 98)),
    )


def expose(
    rng: Rng | None, sensor: Sensor, rgb_hwc: FloatArray, *, noise: WhiteNoise | None = None
) -> NDArray[np.uint8]:
    """Return the image that the sensor delivers.

    Detail comes from one sharp band and is added equally to all colours, which are blurred. This gives the colour
    fringes and the dark halo around bright ships of real tiles. The real scenes were compressed once before the tiles
    were cut: calm water has colours in blocks of 16 px and steps at every eighth row and column.

    Args:
        rng: Random generator of the noise; may be None if `noise` is given.
        sensor: The sensor.
        rgb_hwc: (H, W, 3) float32, display values, may exceed 0-255.
        noise: The noise; drawn from `rng` by default.

    Returns:
        (H, W, 3) uint8, RGB, before the JPEG compression of the tile.
    """
    scene = np.clip(rgb_hwc, 0.0, 330.0)  # saturation, so that the optics do not spread bright pixels too far
    pan = blurred(np.asarray(scene @ np.asarray(PAN_WEIGHTS, np.float32), np.float32), sensor.optics_px)
    light = np.sqrt(np.float32(0.55) + pan * np.float32(1 / 140.0))
    noise = _draw_noise(rng, pan.shape) if noise is None else noise
    pan += noise.pan_hw * light * np.float32(sensor.noise)
    across, down = sensor.resample_px
    resampled = cv2.GaussianBlur(pan, (9, 9), sigmaX=across, sigmaY=down, borderType=cv2.BORDER_REFLECT)
    soft = np.asarray(resampled, np.float32)
    sharp = soft + np.float32(sensor.sharpen) * (soft - blurred(soft, sensor.sharpen_px))
    colors = blurred(scene, sensor.color_px) + _color_noise(noise.colors_hwc, sensor, pan.shape) * light[..., None]
    if sensor.misregistration_px != (0.0, 0.0):
        colors[..., 0] = _shifted(colors[..., 0], sensor.misregistration_px)
    colors += (sharp - colors @ np.asarray(PAN_WEIGHTS, np.float32))[..., None]
    colors *= np.asarray(sensor.gain, np.float32)
    colors += np.float32(sensor.offset)
    np.clip(colors, 0.0, 255.0, out=colors)
    if abs(sensor.gamma - 1.0) > 0.01:
        colors = np.asarray(255.0 * np.power(colors * np.float32(1 / 255.0), np.float32(sensor.gamma)), np.float32)
    image = np.asarray(np.clip(np.rint(colors), 0, 255), np.uint8)
    return decode_jpeg(encode_jpeg(image, sensor.scene_quality))


def _draw_noise(rng: Rng | None, shape: tuple[int, ...]) -> WhiteNoise:
    assert rng is not None
    pan_hw = rng.standard_normal(shape, dtype=np.float32)
    half = (-(-shape[0] // 2), -(-shape[1] // 2), 3)
    return WhiteNoise(pan_hw, rng.standard_normal(half, dtype=np.float32))


def _color_noise(white_hwc: FloatArray, sensor: Sensor, shape: tuple[int, ...]) -> FloatArray:
    """Return the noise of the three bands, (H, W, 3), computed at half the size since it is smooth."""
    noise = blurred(white_hwc, sensor.color_noise_px / 2)
    noise *= np.float32(sensor.color_noise) / noise.std()
    return np.asarray(cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _shifted(band: FloatArray, shift_xy: tuple[float, float]) -> FloatArray:
    matrix = np.array([[1, 0, shift_xy[0]], [0, 1, shift_xy[1]]], np.float64)
    size = (band.shape[1], band.shape[0])
    return np.asarray(
        cv2.warpAffine(np.ascontiguousarray(band), matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def encode_jpeg(image_hwc: NDArray[np.uint8], quality: int) -> bytes:
    """Return an RGB image as JPEG with halved colour resolution."""
    _, data = cv2.imencode(".jpg", image_hwc[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Return the RGB image of a JPEG, (H, W, 3) uint8."""
    image_bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image_bgr is not None  # encoded by encode_jpeg
    return np.ascontiguousarray(image_bgr[..., ::-1]).astype(np.uint8)
