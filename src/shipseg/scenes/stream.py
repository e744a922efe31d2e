"""Showing a scene to the network, tile by tile: reading, predicting and writing side by side, in bounded memory.

Held at any time: the tiles of a few batches (two wait for the network, two for the writer), one tile's width of the row
at work, and the ships' open ends. The rows that tiles share with the next row of tiles are on the disk (`pieces`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from shipseg.inference.predictor import Predictor
from shipseg.progress import track
from shipseg.resizing import resize, resize_valid
from shipseg.scenes.checkpoint import TileRowStore
from shipseg.scenes.ships import Seconds
from shipseg.scenes.tiles import Block, RowBlender, TilePlan, quantise
from shipseg.tiling import Window

__all__ = ["TILE_STATUSES", "Channel", "Gate", "Readable", "Region", "TileJob", "run_stages", "run_tiles"]


# Three stages side by side: a thread that reads, the caller that works, a thread that writes; all end together.
#
# What waits between two stages is bounded, so a fast reader does not fill the memory. An error in any stage ends the
# others at their next hand-over, and comes out of `run_stages` as itself.

Item = TypeVar("Item")
Read = TypeVar("Read")
Done = TypeVar("Done")


class _Broken(Exception):  # noqa: N818  (not a fault of its own: another stage ended)
    """The other side of a channel is gone."""


class Channel(Generic[Item]):
    """Hands items from one thread to another, in order.

    Args:
        size: How many may wait.

    Attributes:
        waited_s: Seconds that the taking side has waited for items.
        blocked_s: Seconds that the giving side has waited for room.
    """

    def __init__(self, size: int) -> None:
        self.waited_s = self.blocked_s = 0.0
        self._size, self._items = size, deque[Item]()
        self._changed = threading.Condition()
        self._ended = self._broken = False

    def put(self, item: Item) -> None:
        """Give an item; waits while too many are waiting to be taken."""
        with self._changed:
            began_s = time.monotonic()
            self._changed.wait_for(lambda: self._broken or len(self._items) < self._size)
            self.blocked_s += time.monotonic() - began_s
            if self._broken:
                raise _Broken
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Take items until the giving side has ended."""
        while True:
            with self._changed:
                began_s = time.monotonic()
                self._changed.wait_for(lambda: self._broken or self._ended or self._items)
                self.waited_s += time.monotonic() - began_s
                if self._broken:
                    raise _Broken
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def end(self) -> None:
        """Say that no more items come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """Stop both sides at once."""
        with self._changed:
            self._broken = True
            self._items.clear()
            self._changed.notify_all()


class _Stage:
    """A thread that does one thing."""

    def __init__(self, name: str, does: Callable[[], None], channels: tuple[Channel[Read], Channel[Done]]) -> None:
        self.error: BaseException | None = None
        self._does, self._channels = does, channels
        # Waited for in place of the thread: joining one that a signal interrupts takes it for ended.
        self._over = threading.Event()
        threading.Thread(target=self._run, name=f"shipseg-{name}", daemon=True).start()

    def _run(self) -> None:
        try:
            self._does()
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.error = error
            for channel in self._channels:
                channel.break_off()
        finally:
            self._over.set()

    def wait(self) -> None:
        self._over.wait()


def run_stages(
    read: Callable[[Channel[Read]], None],
    work: Callable[[Channel[Read], Channel[Done]], None],
    write: Callable[[Channel[Done]], None],
    *,
    read_ahead: int,
    write_behind: int,
) -> tuple[Channel[Read], Channel[Done]]:
    """Run three stages side by side until all have ended; return the two channels between them, for their times.

    Args:
        read: Puts items into its channel; runs in a thread of its own.
        work: Takes from the first channel and puts into the second; runs in the caller's thread, where signals arrive.
        write: Takes from the second channel; runs in a thread of its own.
        read_ahead: How many items may wait to be worked on.
        write_behind: How many may wait to be written.

    Raises:
        BaseException: What one of them raised, after the others have ended.
    """
    channels = to_work, to_write = Channel[Read](read_ahead), Channel[Done](write_behind)

    def reading() -> None:
        read(to_work)
        to_work.end()

    stages = [_Stage("reader", reading, channels), _Stage("writer", lambda: write(to_write), channels)]
    try:
        work(to_work, to_write)
        to_write.end()
        for stage in stages:
            stage.wait()
    except _Broken:
        pass  # the stage that broke off says why
    finally:
        for channel in channels:
            channel.break_off()
        for stage in stages:
            stage.wait()
    for stage in stages:
        if stage.error is not None and not isinstance(stage.error, _Broken):
            raise stage.error
    return channels


TILE_STATUSES: Final = ("network", "no data", "outside", "gate")
"""What becomes of a tile: shown to the network, or why not: no pixel with data, none in the water or area asked for,
or the gate calls it empty."""

_PENDING_PER_SHOWN: Final = 4
"""Tiles that are not shown wait for the batch around them, but no more than this many for each tile of a batch."""


class Readable(Protocol):
    """A scene, as far as it is looked at; see `source.Scene`."""

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return RGB uint8 (h, w, 3) and where there is data bool (h, w)."""
        ...


class Region(Protocol):
    """Pixels that are to be looked at; see `area.Area`."""

    def touches(self, window: Window) -> bool:
        """Return whether a window may hold such a pixel."""
        ...

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return which pixels these are, bool (h, w)."""
        ...


class Gate(Protocol):
    """A cheap first look; see `gate`."""

    def skips(self, image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_]) -> bool:
        """Return whether a tile cannot hold a ship: uint8 (h, w, 3) RGB as shown to the network, and what counts."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class TileJob:
    """What is looked at, and how."""

    scene: Readable
    plan: TilePlan
    predictor: Predictor
    regions: tuple[Region, ...] = ()
    """Only pixels in all of them are looked at."""
    gate: Gate | None = None
    batch: int | None = None
    """Tiles given to the network at once; None as many as suit it."""

    @property
    def tiles_per_batch(self) -> int:
        """How many tiles are given to the network at once."""
        return self.batch or self.predictor.tiles_per_batch


class _Tile(NamedTuple):
    """A tile on its way."""

    is_last_in_row: bool
    status: str
    valid_hw: NDArray[np.bool_]
    shown: NDArray[Any] | None
    """uint8 (h, w, 3) as shown to the network, then its probability float32 (h, w); None where it is not shown."""


def run_tiles(
    job: TileJob, pieces: TileRowStore, consume: Callable[[Iterator[Block]], None]
) -> tuple[dict[str, int], Seconds]:
    """Show the network all of a scene that it has not seen yet, and hand on every block of the scene in order.

    Args:
        job: What is looked at.
        pieces: The rows that are done, handed on first; rows are added as they get done.
        consume: Takes the blocks, in a thread of its own.

    Returns:
        The number of tiles by `TILE_STATUSES`, valid pixels as `pixels` among them; and where the time went.

    Raises:
        DataError: A part of the scene cannot be read.
        ModelError: The network gave something other than probabilities.
        StorageError: The disk is full or cannot be written.
    """
    began_s, first = time.monotonic(), pieces.num_done
    in_network, ended_s = [0.0], [began_s]

    def write(tiles: Channel[_Tile]) -> None:
        with contextlib.closing(_blocks(job, pieces, first, iter(tiles))) as blocks:
            consume(blocks)

    def predict(tiles: Channel[_Tile], done: Channel[_Tile]) -> None:
        with contextlib.closing(_shown(job.plan, first, tiles)) as shown:
            _predict(job, shown, done, in_network)
        ended_s[0] = time.monotonic()

    to_network, to_writer = run_stages(
        lambda tiles: _read(job, range(first, job.plan.num_rows), tiles),
        predict,
        write,
        read_ahead=2 * job.tiles_per_batch,
        write_behind=2 * job.tiles_per_batch,
    )
    counts = dict.fromkeys((*TILE_STATUSES, "pixels"), 0)
    for row in range(job.plan.num_rows):
        for name, count in pieces.facts(row).items():
            counts[name] += count
    now_s = time.monotonic()
    waiting = to_network.waited_s, to_writer.blocked_s
    return counts, Seconds(now_s - began_s, in_network[0], *waiting, finishing=now_s - ended_s[0])


def _shown(plan: TilePlan, first: int, tiles: Iterable[_Tile]) -> Generator[_Tile, None, None]:
    per_row = plan.num_tiles // plan.num_rows
    yield from track(tiles, "looking for ships", total=plan.num_tiles, done=first * per_row)


def _read(job: TileJob, rows: Iterable[int], tiles: Channel[_Tile]) -> None:
    """Read the tiles of rows, in the reader's thread."""
    for row in rows:
        windows = list(job.plan.row(row))
        for number, window in enumerate(windows, start=1):
            status, valid_hw, shown_hwc = _read_tile(job, window)
            tiles.put(_Tile(number == len(windows), status, valid_hw, shown_hwc))


def _read_tile(job: TileJob, window: Window) -> tuple[str, NDArray[np.bool_], NDArray[np.uint8] | None]:
    """Return what becomes of a tile, which of its pixels are looked at (h, w), and what the network is shown of it."""
    nothing_hw = np.zeros((window.height, window.width), bool)
    if not all(region.touches(window) for region in job.regions):
        return "outside", nothing_hw, None
    image_hwc, data_hw = job.scene.read(window)
    if not data_hw.any():
        return "no data", nothing_hw, None
    wanted_hw = data_hw
    for region in job.regions:
        wanted_hw = wanted_hw & region.mask(window)
    if not wanted_hw.any():
        return "outside", nothing_hw, None
    # The network sees land around the water, too: it knows what a quay looks like.
    shown_hwc, _ = resize_valid(image_hwc, data_hw, job.plan.shown_shape)
    if job.gate is not None:
        counted_hw = resize(wanted_hw.astype(np.float32), job.plan.shown_shape) > 0
        if job.gate.skips(shown_hwc, counted_hw):
            return "gate", wanted_hw, None
    return "network", wanted_hw, shown_hwc


def _predict(job: TileJob, tiles: Iterable[_Tile], done: Channel[_Tile], in_network: list[float]) -> None:
    """Give tiles to the network batch by batch, in the caller's thread.

    A batch ends with its row, so that a run that goes on after a kill makes the same batches: what a network gives for
    a tile may depend, in the last bit, on what is computed beside it.
    """
    pending: list[_Tile] = []
    for tile in tiles:
        pending.append(tile)
        num_shown = sum(waiting.shown is not None for waiting in pending)
        is_full = num_shown == job.tiles_per_batch or len(pending) == _PENDING_PER_SHOWN * job.tiles_per_batch
        if tile.is_last_in_row or not num_shown or is_full:
            began_s = time.monotonic()
            shown = [waiting.shown for waiting in pending if waiting.shown is not None]
            probs = iter(job.predictor.tiles_probability(np.stack(shown)) if shown else ())
            in_network[0] += time.monotonic() - began_s
            for waiting in pending:
                done.put(waiting if waiting.shown is None else waiting._replace(shown=next(probs)))
            pending = []


def _blocks(job: TileJob, pieces: TileRowStore, first: int, tiles: Iterator[_Tile]) -> Generator[Block, None, None]:
    """Yield all blocks of the scene: those of rows that are done, then those that get final, in the writer's thread."""
    for row in range(first):
        yield from pieces.blocks(row)
    for row in range(first, job.plan.num_rows):
        facts: dict[str, int] = {}
        with pieces.row(row, facts) as writer, contextlib.closing(pieces.carried(row)) as carried:
            blender = RowBlender(job.plan, row, carried)
            for window in job.plan.row(row):
                tile = next(tiles)
                mean_hw, carry = blender.add(_in_scene_pixels(tile.shown, window))
                rows, columns = mean_hw.shape
                valid_hw = tile.valid_hw[:rows, :columns]
                quantised_hw = quantise(job.predictor.calibrated(mean_hw), valid_hw)
                block = Block(Window(window.row0, window.col0, rows, columns), quantised_hw)
                writer.add(block, carry)
                facts[tile.status] = facts.get(tile.status, 0) + 1
                facts["pixels"] = facts.get("pixels", 0) + int(np.count_nonzero(valid_hw))
                yield block


def _in_scene_pixels(prob_hw: NDArray[np.float32] | None, window: Window) -> NDArray[np.float32] | None:
    return None if prob_hw is None else resize(prob_hw, (window.height, window.width))
