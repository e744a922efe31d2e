"""Speed of decoding, encoding and checking run-length texts, compared with a plain Python loop.

    python benchmarks/rle.py [--ships 500] [--repeats 5]

Ships are rectangles at random angles, like the labels of the challenge. Prints the best time of each and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from shipseg.masks import rle

SHAPE = (768, 768)


def draw_ships(count: int) -> list[NDArray[np.bool_]]:
    """Return masks of one rotated rectangle each."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        length = min(rng.lognormal(np.log(40), 0.8), 400.0)
        box = (tuple(rng.uniform(100, 668, 2)), (length, max(length / 4, 2.0)), rng.uniform(0, 180))
        mask_hw = np.zeros(SHAPE, np.uint8)
        cv2.fillConvexPoly(mask_hw, cv2.boxPoints(box).astype(np.int32), 1)
        masks.append(mask_hw.astype(bool))
    return masks


def loop_decode(text: str) -> NDArray[np.bool_]:
    """Return the mask of a text, unchecked, one slice per run."""
    flat = np.zeros(SHAPE[0] * SHAPE[1], bool)
    numbers = [int(word) for word in text.split()]
    for start, length in zip(numbers[0::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return np.ascontiguousarray(flat.reshape(SHAPE[::-1]).T)


def loop_encode(mask_hw: NDArray[np.bool_]) -> str:
    """Return the text of a mask, pixel by pixel."""
    runs: list[str] = []
    start = None
    for number, is_ship in enumerate(mask_hw.T.ravel().tolist(), start=1):
        if is_ship and start is None:
            start = number
        elif not is_ship and start is not None:
            runs.append(f"{start} {number - start}")
            start = None
    if start is not None:
        runs.append(f"{start} {mask_hw.size + 1 - start}")
    return " ".join(runs)


def loop_is_malformed(text: str) -> bool:
    """Return whether a text is malformed, without the position."""
    words = text.split(" ")
    if len(words) % 2 or not all(word.isascii() and word.isdigit() for word in words):
        return True
    pairs = sorted((int(start), int(length)) for start, length in zip(words[0::2], words[1::2], strict=True))
    free = 1
    for start, length in pairs:
        if start < free or length < 1:
            return True
        free = start + length
    return free - 1 > SHAPE[0] * SHAPE[1]


def best_time_s(work: Callable[[], object], *, repeats: int) -> float:
    """Return the shortest time of several calls."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ships", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    masks = draw_ships(options.ships)
    texts = [rle.encode(mask_hw) for mask_hw in masks]
    few = masks[: max(1, len(masks) // 20)]  # the loop over pixels takes 20 ms a mask
    assert all(loop_encode(mask_hw) == text for mask_hw, text in zip(few, texts, strict=False))
    assert all(np.array_equal(loop_decode(text), mask_hw) for mask_hw, text in zip(masks, texts, strict=True))
    many = texts * 20
    numbers = sum(text.count(" ") + 1 for text in many)
    rows: list[tuple[str, int, Callable[[], object], Callable[[], object]]] = [
        (
            "decode",
            len(texts),
            lambda: [rle.decode(text, SHAPE) for text in texts],
            lambda: [loop_decode(text) for text in texts],
        ),
        ("encode", len(few), lambda: [rle.encode(mask) for mask in few], lambda: [loop_encode(mask) for mask in few]),
        (
            f"find_malformed ({numbers:,} numbers)",
            len(many),
            lambda: rle.find_malformed(many, SHAPE[0] * SHAPE[1]),
            lambda: [loop_is_malformed(text) for text in many],
        ),
    ]
    print(f"{'':36}{'ours':>14}{'plain loop':>14}{'ratio':>8}")
    for name, count, ours, loop in rows:
        ours_us, loop_us = (best_time_s(work, repeats=options.repeats) / count * 1e6 for work in (ours, loop))
        print(f"{name:36}{ours_us:11.1f} us{loop_us:11.1f} us{loop_us / ours_us:8.1f}")


if __name__ == "__main__":
    main()
