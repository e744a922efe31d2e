"""Predicting a scene tile by tile: reading, inference and writing run concurrently in bounded memory.

Kept in memory: the tiles of a few batches (two wait for the network, two for the writer), one tile's width of the
current row, and the ships that are not complete yet. Pixels shared with the next row of tiles are on disk
(`TileRowStore`).
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


# A pipeline of three stages: a reader thread, work in the caller's thread, and a writer thread.
#
# The queues between the stages are bounded, so a fast reader does not fill the memory. An error in one stage stops the
# others at their next queue operation and is raised by `run_stages`.

Item = TypeVar("Item")
Read = TypeVar("Read")
Done = TypeVar("Done")


class _Aborted(Exception):  # noqa: N818  (no error of its own: another stage failed)
    """The channel was aborted by another stage."""


class Channel(Generic[Item]):
    """A bounded queue from one thread to another.

    Args:
        size: Most items that may wait.

    Attributes:
        waited_s: Seconds that the consumer has waited for items.
        blocked_s: Seconds that the producer has waited for space.
    """

    def __init__(self, size: int) -> None:
        self.waited_s = self.blocked_s = 0.0
        self._size, self._items = size, deque[Item]()
        self._changed = threading.Condition()
        self._ended = self._aborted = False

    def put(self, item: Item) -> None:
        """Add an item; blocks while the queue is full."""
        with self._changed:
            began_s = time.monotonic()
            self._changed.wait_for(lambda: self._aborted or len(self._items) < self._size)
            self.blocked_s += time.monotonic() - began_s
            if self._aborted:
                raise _Aborted
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """Yield items until the producer has ended."""
        while True:
            with self._changed:
                began_s = time.monotonic()
                self._changed.wait_for(lambda: self._aborted or self._ended or self._items)
                self.waited_s += time.monotonic() - began_s
                if self._aborted:
                    raise _Aborted
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def end(self) -> None:
        """Mark the end of the items."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Stop producer and consumer at once."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()


class _Stage:
    """A thread that runs one function."""

    def __init__(self, name: str, function: Callable[[], None], channels: tuple[Channel[Read], Channel[Done]]) -> None:
        self.error: BaseException | None = None
        self._function, self._channels = function, channels
        # Waited for instead of joining: a join that a signal interrupts marks the thread as ended.
        self._finished = threading.Event()
        threading.Thread(target=self._run, name=f"shipseg-{name}", daemon=True).start()

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.error = error
            for channel in self._channels:
                channel.abort()
        finally:
            self._finished.set()

    def wait(self) -> None:
        self._finished.wait()


def run_stages(
    read: Callable[[Channel[Read]], None],
    work: Callable[[Channel[Read], Channel[Done]], None],
    write: Callable[[Channel[Done]], None],
    *,
    read_ahead: int,
    write_behind: int,
) -> tuple[Channel[Read], Channel[Done]]:
    """Run three stages concurrently until all have ended; return the two channels between them, for their times.

    Args:
        read: Puts items into its channel; runs in a thread of its own.
        work: Takes items from the first channel and puts items into the second; runs in the caller's thread, which
            receives signals.
        write: Takes items from the second channel; runs in a thread of its own.
        read_ahead: Most items that may wait for `work`.
        write_behind: Most items that may wait for `write`.

    Raises:
        BaseException: The error of one stage, after the others have ended.
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
    except _Aborted:
        pass  # the stage that failed has the error
    finally:
        for channel in channels:
            channel.abort()
        for stage in stages:
            stage.wait()
    for stage in stages:
        if stage.error is not None and not isinstance(stage.error, _Aborted):
            raise stage.error
    return channels


TILE_STATUSES: Final = ("network", "no data", "outside", "gate")
"""Status of a tile: predicted by the network, or the reason why it was skipped: no valid pixels, no pixels inside the
water and area polygons, or empty according to the gate."""

_PENDING_PER_TILE: Final = 4
"""Skipped tiles wait for the batch around them, but no more than this many per tile of a batch."""


class Readable(Protocol):
    """A scene that windows can be read from, such as `geo.reader.Scene`."""

    def read(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return RGB uint8 (h, w, 3) and the valid pixels, bool (h, w)."""
        ...


class Region(Protocol):
    """The pixels of a scene to predict, such as `geo.area.Area`."""

    def touches(self, window: Window) -> bool:
        """Return whether a window may contain pixels of the region."""
        ...

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels of the region in a window, bool (h, w)."""
        ...


class Gate(Protocol):
    """A pre-filter that skips empty tiles, see `gate`."""

    def skips(self, image_hwc: NDArray[np.uint8], valid_hw: NDArray[np.bool_]) -> bool:
        """Return whether a tile is empty: RGB uint8 (h, w, 3) in network pixels, and the pixels that count (h, w)."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class TileJob:
    """The input of `run_tiles`: a scene, its tiles, the model, and what limits the prediction."""

    scene: Readable
    plan: TilePlan
    predictor: Predictor
    regions: tuple[Region, ...] = ()
    """Only pixels inside all regions are predicted."""
    gate: Gate | None = None
    batch: int | None = None
    """Tiles per batch; None takes the number that suits the backend."""

    @property
    def tiles_per_batch(self) -> int:
        """Number of tiles in a batch."""
        return self.batch or self.predictor.tiles_per_batch


class _Tile(NamedTuple):
    """A tile in the pipeline."""

    is_last_in_row: bool
    status: str
    valid_hw: NDArray[np.bool_]
    data: NDArray[Any] | None
    """RGB uint8 (h, w, 3) in network pixels, after inference the probability float32 (h, w); None if skipped."""


def run_tiles(
    job: TileJob, store: TileRowStore, consume: Callable[[Iterator[Block]], None]
) -> tuple[dict[str, int], Seconds]:
    """Predict the rows of tiles that are not finished yet, and pass all blocks of the scene to `consume` in order.

    Args:
        job: Scene, tiles and model.
        store: Finished rows, which are passed on first; rows are added as they are finished.
        consume: Takes the blocks; runs in a thread of its own.

    Returns:
        The number of tiles by `TILE_STATUSES`, with the number of valid pixels as `pixels`; and the run times.

    Raises:
        DataError: A part of the scene cannot be read.
        ModelError: The network returned values other than probabilities.
        StorageError: The disk is full or cannot be written.
    """
    began_s, first = time.monotonic(), store.num_done
    network_s, ended_s = [0.0], [began_s]

    def write(tiles: Channel[_Tile]) -> None:
        with contextlib.closing(_blocks(job, store, first, iter(tiles))) as blocks:
            consume(blocks)

    def predict(tiles: Channel[_Tile], done: Channel[_Tile]) -> None:
        with contextlib.closing(_with_progress(job.plan, first, tiles)) as tracked:
            _predict(job, tracked, done, network_s)
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
        for name, count in store.read_facts(row).items():
            counts[name] += count
    now_s = time.monotonic()
    waiting = to_network.waited_s, to_writer.blocked_s
    return counts, Seconds(now_s - began_s, network_s[0], *waiting, finishing=now_s - ended_s[0])


def _with_progress(plan: TilePlan, first: int, tiles: Iterable[_Tile]) -> Generator[_Tile, None, None]:
    per_row = plan.num_tiles // plan.num_rows
    yield from track(tiles, "predicting tiles", total=plan.num_tiles, done=first * per_row)


def _read(job: TileJob, rows: Iterable[int], tiles: Channel[_Tile]) -> None:
    """Read the tiles of rows; runs in the reader's thread."""
    for row in rows:
        windows = list(job.plan.row(row))
        for number, window in enumerate(windows, start=1):
            status, valid_hw, network_hwc = _read_tile(job, window)
            tiles.put(_Tile(number == len(windows), status, valid_hw, network_hwc))


def _read_tile(job: TileJob, window: Window) -> tuple[str, NDArray[np.bool_], NDArray[np.uint8] | None]:
    """Return a tile's status, its pixels that count (h, w), and its image in network pixels, None if skipped."""
    none_hw = np.zeros((window.height, window.width), bool)
    if not all(region.touches(window) for region in job.regions):
        return "outside", none_hw, None
    image_hwc, data_hw = job.scene.read(window)
    if not data_hw.any():
        return "no data", none_hw, None
    valid_hw = data_hw
    for region in job.regions:
        valid_hw = valid_hw & region.mask(window)
    if not valid_hw.any():
        return "outside", none_hw, None
    # The network also gets the pixels outside the regions: land beside the water is useful context.
    network_hwc, _ = resize_valid(image_hwc, data_hw, job.plan.network_shape)
    if job.gate is not None:
        counted_hw = resize(valid_hw.astype(np.float32), job.plan.network_shape) > 0
        if job.gate.skips(network_hwc, counted_hw):
            return "gate", valid_hw, None
    return "network", valid_hw, network_hwc


def _predict(job: TileJob, tiles: Iterable[_Tile], done: Channel[_Tile], network_s: list[float]) -> None:
    """Predict tiles batch by batch; runs in the caller's thread.

    A batch ends with its row, so that a resumed run has the same batches: the last bit of a network's output may depend
    on the other tiles of the batch.
    """
    pending: list[_Tile] = []
    for tile in tiles:
        pending.append(tile)
        num_images = sum(waiting.data is not None for waiting in pending)
        is_full = num_images == job.tiles_per_batch or len(pending) == _PENDING_PER_TILE * job.tiles_per_batch
        if tile.is_last_in_row or not num_images or is_full:
            began_s = time.monotonic()
            images = [waiting.data for waiting in pending if waiting.data is not None]
            probs = iter(job.predictor.tiles_probability(np.stack(images)) if images else ())
            network_s[0] += time.monotonic() - began_s
            for waiting in pending:
                done.put(waiting if waiting.data is None else waiting._replace(data=next(probs)))
            pending = []


def _blocks(job: TileJob, store: TileRowStore, first: int, tiles: Iterator[_Tile]) -> Generator[Block, None, None]:
    """Yield all blocks of the scene, those of finished rows first; runs in the writer's thread."""
    for row in range(first):
        yield from store.read_blocks(row)
    for row in range(first, job.plan.num_rows):
        facts: dict[str, int] = {}
        with store.write_row(row, facts) as writer, contextlib.closing(store.read_carry(row)) as carried:
            blender = RowBlender(job.plan, row, carried)
            for window in job.plan.row(row):
                tile = next(tiles)
                mean_hw, carry = blender.add(_to_scene_pixels(tile.data, window))
                rows, columns = mean_hw.shape
                valid_hw = tile.valid_hw[:rows, :columns]
                quantised_hw = quantise(job.predictor.calibrated(mean_hw), valid_hw)
                block = Block(Window(window.row0, window.col0, rows, columns), quantised_hw)
                writer.add(block, carry)
                facts[tile.status] = facts.get(tile.status, 0) + 1
                facts["pixels"] = facts.get("pixels", 0) + int(np.count_nonzero(valid_hw))
                yield block


def _to_scene_pixels(prob_hw: NDArray[np.float32] | None, window: Window) -> NDArray[np.float32] | None:
    return None if prob_hw is None else resize(prob_hw, (window.height, window.width))
