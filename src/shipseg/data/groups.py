"""Groups of images that show the same ground, found by comparing the fine texture of their sub-tiles.

The challenge's tiles were cut at a stride of a third of their side, so two overlapping ones share whole sub-tiles. The
texture of a sub-tile is built from means of 8 x 8 px blocks, which survive JPEG compression. The local mean is
subtracted and the local contrast divided out, so that faint waves weigh as much as bright land: on real tiles, copies
of a sub-tile correlate above 0.88 and unrelated ones below 0.23.

Candidate pairs come from locality-sensitive hashing of 128-bit signatures (signs of random projections of a texture).
This avoids comparing all pairs; the signatures of 1.7 million sub-tiles need a few hundred MB. Each candidate is
verified by the correlation of the textures. Images of verified pairs are joined by connected components.

Source: M. Charikar, Similarity Estimation Techniques from Rounding Algorithms (2002), for the signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from shipseg import progress

__all__ = [
    "CELLS",
    "JOIN_CORRELATION",
    "MIN_CELLS",
    "SUBTILES",
    "Overlaps",
    "best_match",
    "describe_texture",
    "find_overlaps",
    "join_groups",
    "num_informative",
]

# Texture of the sub-tiles.

SUBTILES = 3
"""Sub-tiles along each side of an image."""
CELLS = 32
"""Cells along each side of a sub-tile: 8 px for the challenge's 768 px tiles."""
MIN_CELLS = 24
"""Sub-tiles with fewer informative cells (of 1,024) are ignored: black, white and blue no-data, flat clouds."""

_MEAN_CELLS = 5  # side of the local mean that is subtracted; removes gradients of light and haze
_CONTRAST_CELLS = 9  # side of the neighbourhood whose contrast divides a cell
_MIN_CONTRAST = 0.25  # grey levels; lower local contrast is not amplified further
_UNITS = 32  # int8 units per local standard deviation: 127 is about 4 standard deviations
_INFORMATIVE = 4  # least absolute value of an informative cell, in these units
_FLAT_VARIANCE = 0.05  # squared grey levels; cells with less variance are flat: no-data and clipped sea
_EDGE_CELLS = 7  # side of the neighbourhood that the edge of a flat cell can affect
_EDGE_STEP = 4.0  # grey levels; near a flat cell, a larger step is the edge of no-data, alike in unrelated scenes


def describe_texture(image_hwc: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the texture of an image's sub-tiles, row by row: int8 (9, CELLS, CELLS), 0 where it is not informative.

    Args:
        image_hwc: uint8 (H, W, 3) RGB.
    """
    grey_hw = cv2.cvtColor(image_hwc, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey_hw.shape[0] // SUBTILES, grey_hw.shape[1] // SUBTILES
    textures = np.zeros((SUBTILES * SUBTILES, CELLS, CELLS), np.int8)
    if min(height, width) == 0:
        return textures
    for number in range(SUBTILES * SUBTILES):
        row, column = divmod(number, SUBTILES)
        subtile = grey_hw[row * height : (row + 1) * height, column * width : (column + 1) * width]
        textures[number] = _describe(np.ascontiguousarray(subtile))
    return textures


def _describe(grey_hw: NDArray[np.float32]) -> NDArray[np.int8]:
    size = (CELLS, CELLS)
    mean = cv2.resize(grey_hw, size, interpolation=cv2.INTER_AREA)
    flat = cv2.resize(grey_hw * grey_hw, size, interpolation=cv2.INTER_AREA) - mean * mean < _FLAT_VARIANCE
    # Extrapolated by odd reflection: an even reflection would turn every slope into a bright rim.
    margin = _MEAN_CELLS // 2
    padded = np.pad(mean, margin, mode="reflect", reflect_type="odd")
    around = cv2.blur(padded, (_MEAN_CELLS, _MEAN_CELLS))[margin:-margin, margin:-margin]
    detail = mean - around
    near_flat = cv2.dilate(flat.astype(np.uint8), np.ones((_EDGE_CELLS, _EDGE_CELLS), np.uint8)) > 0
    detail[near_flat & (np.abs(detail) > _EDGE_STEP)] = 0
    power = np.maximum(cv2.blur(detail * detail, (_CONTRAST_CELLS, _CONTRAST_CELLS)), 0)  # blurring can leave -1e-12
    relative = detail / np.maximum(np.sqrt(power), _MIN_CONTRAST)
    return np.clip(np.rint(relative * _UNITS), -127, 127).astype(np.int8)


def num_informative(textures: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the number of informative cells of each sub-tile: int64 (...) for textures (..., CELLS, CELLS)."""
    return np.asarray((np.abs(textures) >= _INFORMATIVE).sum(axis=(-2, -1)), np.int64)


# Pairs of images that share sub-tiles.

JOIN_CORRELATION = 0.6
"""Least correlation of sub-tiles that show the same ground; real unrelated ones stay below 0.23, copies above 0.88."""

_SUBTILES = SUBTILES * SUBTILES
_CELLS = CELLS * CELLS
_RICH_CELLS = 96  # a sub-tile with this many informative cells suffices to join a pair
_POOLED_CORRELATION = 0.8  # for pairs with sparse sub-tiles only: over all sub-tiles they share
_BITS = 128
_KEY_BITS = 32
_TABLES = 24  # one table finds a copy of correlation 0.999 with probability 0.75, one of 0.93 with 0.1
_NEIGHBOURS = 4  # each sub-tile is compared with this many that follow it in the order of a table's keys
_ROW_BITS = 32  # of each row number in a pair packed into one int64
_MAX_DIFFERENT_BITS = 36  # of 128; correlation 0.6 gives 38 on average, 0.85 gives 23, none gives 64
_MAX_BITS_ACROSS = 44  # for the independent check, which searches the nearest pair, not only copies
_BLOCK = 8192  # rows processed at a time
_EXHAUSTIVE_ROWS = 50_000  # of 4 kB each
_EXHAUSTIVE_PAIRS = 50_000_000  # up to this many pairs, all are compared (about 2 s)


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of images that share ground.

    Args:
        pairs: int64 (n, 2), image numbers, the smaller first, each pair once, sorted.
        offsets_rc: int64 (n, 2), position of the second image relative to the first, in sub-tiles (rows, columns).
        correlations: float64 (n,), correlation of the textures that joined the pair.
    """

    pairs: NDArray[np.int64]
    offsets_rc: NDArray[np.int64]
    correlations: NDArray[np.float64]


def find_overlaps(textures: NDArray[np.int8], *, seed: int = 0) -> Overlaps:
    """Return the pairs of images that share at least one sub-tile.

    Sub-tiles without texture are ignored: black, white and no-data ones would join unrelated scenes.

    Args:
        textures: int8 (N, 9, CELLS, CELLS), see `describe_texture`; may be a memory map.
        seed: Seed of the random projections.
    """
    informative = _count_informative(textures)
    usable = np.flatnonzero(informative >= MIN_CELLS)
    signatures = _sign(textures, usable, seed=seed)
    first, second = _close_pairs(
        signatures, usable // _SUBTILES, seed=seed, max_bits=_MAX_DIFFERENT_BITS, what="finding overlaps"
    )
    return _verify(textures, usable[first], usable[second], informative)


def join_groups(num_images: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each image, int64 (N,): the connected components of `pairs`, numbered by first image."""
    links = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(num_images, num_images))
    labels = connected_components(links, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], np.int64)


def best_match(textures: NDArray[np.int8], one: NDArray[np.int64], other: NDArray[np.int64]) -> tuple[float, int, int]:
    """Return the highest correlation between a sub-tile of the images `one` and one of `other`, and the two images.

    Only sub-tiles rich in texture are used. Up to some thousand images, all pairs are compared; beyond that, candidates
    come from other random projections than those of `find_overlaps`. Returns (0.0, -1, -1) if there is no candidate.

    Args:
        textures: int8 (N, 9, CELLS, CELLS).
        one: Image numbers.
        other: Image numbers, none of them in `one`.
    """
    side = np.zeros(len(textures), np.int8)
    side[one], side[other] = 1, 2
    informative = _count_informative(textures)
    rich = np.flatnonzero((informative >= _RICH_CELLS) & (np.repeat(side, _SUBTILES) > 0))
    side_of_rich = side[rich // _SUBTILES]
    left, right = rich[side_of_rich == 1], rich[side_of_rich == 2]
    if not len(left) or not len(right):
        return 0.0, -1, -1
    if len(left) * len(right) <= _EXHAUSTIVE_PAIRS and len(right) <= _EXHAUSTIVE_ROWS:
        return _best_of_all(textures, left, right)
    first, second = _close_pairs(
        _sign(textures, rich, seed=1), side_of_rich, seed=1, max_bits=_MAX_BITS_ACROSS, what="checking for leaks"
    )
    if not len(first):
        return 0.0, -1, -1
    correlations = _correlations(*_dot_products(textures, rich[first], rich[second]))
    at = int(correlations.argmax())
    return float(correlations[at]), int(rich[first[at]] // _SUBTILES), int(rich[second[at]] // _SUBTILES)


def _best_of_all(
    textures: NDArray[np.int8], left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[float, int, int]:
    best = (0.0, -1, -1)
    targets = _rows(textures, right)
    target_norms = np.linalg.norm(targets.astype(np.float64), axis=1)
    for block in _blocks(len(left), 1024):
        rows = _rows(textures, left[block])
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        correlations = (rows @ targets.T) / (norms[:, None] * target_norms)
        row, column = divmod(int(correlations.argmax()), len(right))
        if correlations[row, column] > best[0]:
            one, other = left[block][row] // _SUBTILES, right[column] // _SUBTILES
            best = (float(correlations[row, column]), int(one), int(other))
    return best


def _rows(textures: NDArray[np.int8], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return textures of sub-tiles as float32 (n, 1024); sums of their integer products are exact (below 2**24)."""
    return textures.reshape(-1, _CELLS)[numbers].astype(np.float32)


def _blocks(total: int, size: int = _BLOCK) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def _count_informative(textures: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the number of informative cells of every sub-tile, int64 (9 N,)."""
    subtiles = textures.reshape(-1, CELLS, CELLS)
    counts = [num_informative(subtiles[block]) for block in _blocks(len(subtiles))]
    return np.concatenate(counts) if counts else np.zeros(0, np.int64)


def _sign(textures: NDArray[np.int8], numbers: NDArray[np.int64], *, seed: int) -> NDArray[np.uint8]:
    """Return the signatures of sub-tiles: uint8 (n, 16), one bit for the sign of each random projection.

    Directions are +1 and -1: float32 sums of these integers are exact in any order, so the bits do not depend on the
    BLAS implementation.
    """
    directions = np.random.default_rng(seed).integers(0, 2, (_CELLS, _BITS)).astype(np.float32) * 2 - 1
    signatures = np.zeros((len(numbers), _BITS // 8), np.uint8)
    for block in _blocks(len(numbers)):
        signatures[block] = np.packbits(_rows(textures, numbers[block]) @ directions > 0, axis=1)
    return signatures


def _close_pairs(
    signatures: NDArray[np.uint8], owner: NDArray[np.integer], *, seed: int, max_bits: int, what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of rows (the smaller first, each once) of different owners that differ in at most `max_bits`.

    Only rows are compared that are close to each other when the signatures are sorted by a random choice of bits; this
    is repeated for each table.
    """
    rng = np.random.default_rng(seed)
    bits = np.unpackbits(signatures, axis=1)
    found = np.zeros(0, np.int64)
    for _ in progress.track(range(_TABLES), what):
        chosen = rng.choice(_BITS, _KEY_BITS, replace=False)
        keys = np.ascontiguousarray(np.packbits(bits[:, chosen], axis=1)).view(np.uint32).ravel()
        order = np.argsort(keys, kind="stable")
        packed = [found]
        for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            first, second = np.minimum(order[:-step], order[step:]), np.maximum(order[:-step], order[step:])
            close = (owner[first] != owner[second]) & (
                _different_bits(signatures[first], signatures[second]) <= max_bits
            )
            packed.append(first[close] << _ROW_BITS | second[close])
        found = np.unique(np.concatenate(packed))
    return found >> _ROW_BITS, found & (1 << _ROW_BITS) - 1


def _different_bits(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int64]:
    different: NDArray[np.int64] = np.bitwise_count(one.view(np.uint64) ^ other.view(np.uint64)).sum(
        axis=1, dtype=np.int64
    )
    return different


def _dot_products(
    textures: NDArray[np.int8], first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums over cells of first * second, first * first and second * second for each pair of sub-tiles."""
    sums = np.zeros((3, len(first)))
    for block in _blocks(len(first)):
        one, other = _rows(textures, first[block]), _rows(textures, second[block])
        for number, (left, right) in enumerate(((one, other), (one, one), (other, other))):
            sums[number, block] = np.einsum("nc,nc->n", left, right)
    return sums[0], sums[1], sums[2]


def _correlations(
    products: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(products / np.maximum(np.sqrt(one * other), 1), np.float64)


def _verify(
    textures: NDArray[np.int8],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    informative: NDArray[np.int64],
) -> Overlaps:
    """Return the pairs of images of those candidate pairs of sub-tiles whose textures correlate."""
    (image, subtile), (other, other_subtile) = np.divmod(first, _SUBTILES), np.divmod(second, _SUBTILES)
    correlations = _correlations(*_dot_products(textures, first, second))
    rich = np.minimum(informative[first], informative[second]) >= _RICH_CELLS
    joined = rich & (correlations >= JOIN_CORRELATION)
    offsets = np.stack(
        [subtile // SUBTILES - other_subtile // SUBTILES, subtile % SUBTILES - other_subtile % SUBTILES], axis=1
    )
    pairs = np.stack([image, other], axis=1)
    sparse = np.unique(np.hstack([pairs, offsets])[~rich], axis=0)
    pooled = _pooled_correlations(textures, sparse, informative)
    passed = pooled >= _POOLED_CORRELATION
    return _strongest(
        np.concatenate([np.hstack([pairs, offsets])[joined], sparse[passed]]),
        np.concatenate([correlations[joined], pooled[passed]]),
    )


def _pooled_correlations(
    textures: NDArray[np.int8], shifted: NDArray[np.int64], informative: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the correlation over all sub-tiles that two images share at an offset; 0 for too few informative cells.

    Args:
        textures: int8 (N, 9, CELLS, CELLS).
        shifted: (n, 4): image, other image, offset of the other in sub-tiles (rows, columns).
        informative: int64 (9 N,), informative cells of every sub-tile.
    """
    sums = np.zeros((3, len(shifted)))
    cells = np.zeros(len(shifted), np.int64)
    for number in range(_SUBTILES):
        row, column = divmod(number, SUBTILES)
        other_row, other_column = row - shifted[:, 2], column - shifted[:, 3]
        shared = np.flatnonzero(
            (other_row >= 0) & (other_row < SUBTILES) & (other_column >= 0) & (other_column < SUBTILES)
        )
        first = shifted[shared, 0] * _SUBTILES + number
        second = shifted[shared, 1] * _SUBTILES + other_row[shared] * SUBTILES + other_column[shared]
        sums[:, shared] += np.stack(_dot_products(textures, first, second))
        cells[shared] += np.minimum(informative[first], informative[second])
    return np.where(cells >= MIN_CELLS, _correlations(sums[0], sums[1], sums[2]), 0.0)


def _strongest(shifted: NDArray[np.int64], correlations: NDArray[np.float64]) -> Overlaps:
    """Return each pair of images once, at the offset with the highest correlation."""
    order = np.lexsort((-correlations, shifted[:, 1], shifted[:, 0]))
    shifted, correlations = shifted[order], correlations[order]
    first = np.ones(len(shifted), bool)
    first[1:] = (shifted[1:, :2] != shifted[:-1, :2]).any(axis=1)
    return Overlaps(shifted[first, :2], shifted[first, 2:], correlations[first])
