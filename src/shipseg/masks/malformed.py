"""Which run-length texts are malformed, checked all together; and why, one text at a time."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shipseg.errors import ConfigError

__all__ = ["MAX_DIGITS", "explain", "find_malformed"]

MAX_DIGITS = 18  # the sum of two numbers of 18 digits fits into int64
_MAX_SHOWN = 24  # characters of a wrong number that a message repeats
_CHUNK_CHARACTERS = 4_000_000  # texts are checked in groups of about this size: some 100 MB of working memory
_NO_LIMIT = np.iinfo(np.int64).max


def find_malformed(texts: Sequence[str], num_pixels: int | NDArray[np.integer] | None = None) -> dict[int, str]:
    """Return which of `texts` are malformed run-length texts, and why: position in `texts` -> sentence, ascending.

    A text is a list of pairs `start length`, pixels counted from 1 down the columns first, and is well-formed when it
    holds only decimal digits and spaces (no sign, point, exponent, tab or digit of another script), an even count of
    numbers, each start and length at least 1, no pixel beyond the image and no pixel twice. The empty text is
    well-formed: no ship. Runs need not ascend: the order of disjoint runs carries no meaning, and the texts of several
    ships joined into one are not in order.

    All texts are checked together, and only those that are malformed one by one: 82,000 real masks (about 9 million
    numbers) take about 0.6 s. A sentence names the first fault of a text.

    Args:
        texts: Run-length texts.
        num_pixels: Pixels of every image, or of the image of each text (n,); None when the sizes are not known:
            nothing is then beyond the image.

    Raises:
        ConfigError: `num_pixels` is an array of another length than `texts`.

    Example:
        >>> find_malformed(["1 3 10 2", "1 3 2 2"], 100)
        {1: 'the run at number 3 (character 5) covers pixel 2, which an earlier run covers already'}
    """
    limits = _limits(num_pixels, len(texts))
    return {
        first + position: explain(texts[first + position], int(limits[first + position]))
        for first, last in _chunks(texts)
        for position in _malformed(texts[first:last], limits[first:last])
    }


def _limits(num_pixels: int | NDArray[np.integer] | None, num_texts: int) -> NDArray[np.int64]:
    if num_pixels is None:
        return np.full(num_texts, np.iinfo(np.int64).max)
    limits = np.asarray(num_pixels, np.int64)
    if limits.ndim == 0:
        return np.full(num_texts, limits)
    if limits.shape != (num_texts,):
        raise ConfigError(f"num_pixels must be one number or one per text ({num_texts}), got shape {limits.shape}")
    return limits


def _chunks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) so that the texts of a chunk have about _CHUNK_CHARACTERS together."""
    first = characters = 0
    for position, text in enumerate(texts):
        characters += len(text) if isinstance(text, str) else 0
        if characters > _CHUNK_CHARACTERS:
            yield first, position + 1
            first, characters = position + 1, 0
    if first < len(texts):
        yield first, len(texts)


def _malformed(texts: Sequence[str], limits: NDArray[np.int64]) -> list[int]:
    """Return the positions of the texts that are malformed, ascending."""
    if not all(isinstance(text, str) for text in texts) or not _is_plain(" ".join(texts)):
        # Such a text becomes one number, which is an odd count.
        texts = [text if _is_plain(text) else "0" for text in texts]
    joined = f" {' '.join(texts)} "
    blank = np.frombuffer(joined.encode("ascii"), np.uint8) == ord(" ")
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    begins, ends = edges[0::2], edges[1::2]
    values = np.fromstring(joined, np.int64, sep=" ") if len(begins) else np.zeros(0, np.int64)
    text_lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    first_numbers = np.searchsorted(begins, np.cumsum(text_lengths + 1) - text_lengths)
    counts = np.diff(first_numbers, append=len(begins))
    text = np.repeat(np.arange(len(texts)), counts)
    bad = counts % 2 == 1
    bad[text[ends - begins > MAX_DIGITS]] = True
    if bad.any():
        values, text = values[~bad[text]], text[~bad[text]]
    text, starts, lengths = text[0::2], values[0::2], values[1::2]
    run_ends = starts + lengths
    bad[text[(starts < 1) | (lengths < 1) | (run_ends - 1 > limits[text])]] = True
    later = (text[1:] == text[:-1]) & (starts[1:] < run_ends[:-1])
    if later.any():  # a text whose runs do not ascend, or overlap
        order = np.lexsort((starts, text))
        later = (text[1:] == text[:-1]) & (starts[order[1:]] < run_ends[order[:-1]])
        bad[text[1:][later]] = True
    return np.flatnonzero(bad).tolist()


def _is_plain(text: object) -> bool:
    """Return whether a text holds only the digits 0 to 9 and spaces."""
    return isinstance(text, str) and text.isascii() and not text.encode().translate(None, b"0123456789 ")


def explain(text: object, num_pixels: int = _NO_LIMIT) -> str:
    """Return why a text is malformed: its first fault, by the place of the number and of its character, both from 1.

    Args:
        text: A malformed text.
        num_pixels: Pixels of the image.
    """
    if not isinstance(text, str):
        return f"expected a run-length text, got {text!r} ({type(text).__name__})"
    words = list(re.finditer("[^ ]+", text))
    names = [f"number {place} (character {word.start() + 1})" for place, word in enumerate(words, 1)]
    for name, word in zip(names, (word[0] for word in words), strict=True):
        shown = repr(word) if len(word) <= _MAX_SHOWN else f"{word[:_MAX_SHOWN]!r}..."
        if not _is_plain(word):
            return f"{name} is {shown}, expected only digits 0 to 9 between spaces"
        if len(word) > MAX_DIGITS:
            return f"{name} is {shown}, which has more than {MAX_DIGITS} digits"
    if len(words) % 2:
        return f"it holds {len(words)} numbers, an odd count, expected pairs of start and length"
    starts, lengths = ([int(word[0]) for word in words[first::2]] for first in (0, 1))
    for run, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        if start < 1:
            return f"{names[2 * run]} is the start {start}, pixels are counted from 1"
        if length < 1:
            return f"{names[2 * run + 1]} is the length {length}, a run has at least 1 pixel"
        if start + length - 1 > num_pixels:
            return f"the run at {names[2 * run]} ends at pixel {start + length - 1}, the image has {num_pixels}"
    run, pixel = _first_overlap(starts, lengths)
    return f"the run at {names[2 * run]} covers pixel {pixel}, which an earlier run covers already"


def _first_overlap(starts: Sequence[int], lengths: Sequence[int]) -> tuple[int, int]:
    """Return the first run that overlaps an earlier one, and the first pixel that they share."""
    earlier: list[tuple[int, int]] = []  # start and end of the runs before it, ascending
    for run, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        place = bisect.bisect(earlier, (start, 0))
        if place and earlier[place - 1][1] > start:
            return run, start
        if place < len(earlier) and earlier[place][0] < start + length:
            return run, earlier[place][0]
        earlier.insert(place, (start, start + length))
    raise AssertionError("the text is well-formed")
