"""What the numbers mean for training, in words that are derived from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Hint", "find_hints"]

Facts = Mapping[str, Any]


class Hint(NamedTuple):
    """What the numbers show, and what to do about it."""

    finding: str
    advice: str


_BATCH = 16
_MANY_EMPTY, _FEW_EMPTY = 0.6, 0.2
_MOSTLY = 0.5
_NOTABLE = 0.05  # a share of the ships that is worth a hint
_ENOUGH_HEADINGS, _EVEN_HEADINGS = 1500, 1.3  # ships; fullest of 18 bins against their mean
_IMAGENET_MEAN = (123.7, 116.3, 103.5)
_SHIFTED_LEVELS = 20


def find_hints(facts: Facts) -> list[dict[str, str]]:
    """Return what follows from the facts: each a finding and what to do about it, the weightiest first.

    Args:
        facts: See `Exploration.facts`.
    """
    return [hint._asdict() for rule in _RULES for hint in [rule(facts)] if hint is not None]


def _percent(value: float) -> str:
    percent = 100 * value
    if 10 <= percent <= 90:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if 0.1 <= percent <= 99.9 else f"{percent:.3g} %"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _empties(facts: Facts) -> Hint | None:
    share = facts["imbalance"]["empty_share"]
    if not facts["imbalance"]["with_ships"]:
        return Hint(
            "No image has a ship.",
            "Nothing can be learnt from these labels; check that the label table is the right one.",
        )
    if share >= _MANY_EMPTY:
        empties = round(_BATCH * share)
        return Hint(
            f"{_percent(share)} of the images are empty.",
            f"Drawn as they come, {empties} of {_BATCH} images of a batch show no ship: let "
            "`sampling.zero_ships_ratio` decide (0.5 in the recipe `base`). Keep empties in the validation, or false "
            "alarms go unseen.",
        )
    if share < _FEW_EMPTY:
        return Hint(
            f"Only {_percent(share)} of the images are empty." if share else "No image is empty.",
            "Most sea is empty: false alarms are hardly measured here. Add empty images, above all to the validation.",
        )
    return None


def _pixels(facts: Facts) -> Hint | None:
    share, inside = facts["pixels"]["share_of_all"], facts["pixels"]["share_in_ship_images"]
    if not share or share > 0.05:
        return None
    return Hint(
        f"Ships cover {100 * share:.3g} % of all pixels, {100 * inside:.3g} % of those in images with ships.",
        f"A network that never sees a ship is right in {100 * (1 - share):.4g} % of the pixels: judge by Dice per "
        "image and by ships found, never by accuracy, and give the loss an overlap term (`loss.weights`: bce and "
        "dice).",
    )


def _small_ships(facts: Facts) -> Hint | None:
    reduced = facts["ships"]["reduced"]
    if not reduced["ships"] or reduced["share"] < _NOTABLE:
        return None
    return Hint(
        f"At {reduced['side_px']} px, {_percent(reduced['share'])} of the ships keep fewer than {reduced['few_px']} "
        "pixels.",
        "Where small ships matter, train on native crops: `shipseg prepare --size native` and `input.mode: crops`.",
    )


def _several(facts: Facts) -> Hint | None:
    imbalance = facts["imbalance"]
    if not imbalance["several"] or not imbalance["one"]:
        return None
    of_ships = imbalance["ships_in_images_of_several"] / imbalance["ships"]
    return Hint(
        f"{_percent(imbalance['several_share'])} of the images with ships have several, and with them "
        f"{_percent(of_ships)} of all ships.",
        f"`sampling.multiple_ships_ratio` draws them more often; at {imbalance['several_share']:.2f} of a batch's "
        "ship images none of them repeats within an epoch.",
    )


def _groups(facts: Facts) -> Hint | None:
    groups = facts["groups"]
    if not groups or not groups["images_in_groups_of_several"]:
        return None
    return Hint(
        f"{_count(groups['images_in_groups_of_several'], 'image shows', 'images show')} ground that another shows too "
        f"({_percent(groups['images_in_groups_of_several'] / groups['images'])}).",
        f"In a random split {_percent(groups['leaking_share_of_random_val'])} of the validation images would have a "
        "neighbour in training; `shipseg prepare` splits whole groups.",
    )


def _leak(facts: Facts) -> Hint | None:
    if not facts["split"] or not facts["split"]["leak"]["groups_on_two_sides"]:
        return None
    return Hint(
        f"{facts['split']['leak']['groups_on_two_sides']} groups stand on two sides of the split.",
        "Validation scores of this dataset flatter: prepare it again.",
    )


def _faulty(facts: Facts) -> Hint | None:
    lost = facts["cleaning"]["own"]["lost"]
    if not lost["images"]:
        return None
    reasons = ", ".join(
        f"{reason} {found['images']:,}" for reason, found in facts["cleaning"]["own"]["left_out"].items()
    )
    ships = _count(lost["ships"], "ship is", "ships are") if lost["ships"] else "no ship is"
    return Hint(
        f"{_count(lost['images'], 'image', 'images')} cannot be used ({reasons}): {ships} lost with them.",
        "`shipseg prepare` leaves them out and says why, one by one, in problems.csv.",
    )


def _small_files(facts: Facts) -> Hint | None:
    files = facts["files"]
    if not files or not files["below_line"]["images"]:
        return None
    below = files["below_line"]
    ships = _count(below["ships"], "ship", "ships") if below["ships"] else "no ship"
    finding = (
        f"{_count(below['images'], 'file has', 'files have')} {files['line_kb']:g} kB or less, {ships} in all of them."
    )
    if below["share"] > _MOSTLY:
        return Hint(finding, "The reference drew that line for images of 768 px; for these it says nothing.")
    solid = "Most such images are calm sea or one colour; the solid ones are left out anyway, and dropping the others "
    if below["ships"]:
        return Hint(finding, f"{solid}(`--min-kb`) costs ships.")
    return Hint(finding, f"{solid}(`--min-kb`) takes away the easiest empties.")


def _undersampling(facts: Facts) -> Hint | None:
    dropped = facts["cleaning"]["reference"]["left_out"].get("empty-undersampled")
    if dropped is None or facts["imbalance"]["empty_share"] < _MANY_EMPTY:
        return None
    return Hint(
        f"Keeping 30 % of the empty images, as the reference did, throws {dropped['images']:,} away.",
        "They cost no ship, but they are what teaches the network to stay silent: `sampling.zero_ships_ratio` gives "
        "the same batches from all of them.",
    )


def _mixed_sizes(facts: Facts) -> Hint | None:
    if not facts["images"] or facts["images"]["one_size"]:
        return None
    sizes = facts["images"]["sizes_px"]
    usual, count = next(iter(sizes.items()))
    return Hint(
        f"The images have {len(sizes)} sizes; {count:,} of {facts['images']['readable']:,} are {usual} px.",
        "`shipseg prepare` keeps the most common size alone; `--any-size` keeps all.",
    )


def _border(facts: Facts) -> Hint | None:
    share = facts["ships"]["touching_border_share"]
    if share is None or share < _NOTABLE:
        return None
    return Hint(
        f"{_percent(share)} of the ships are cut by the edge of their image.",
        "Their length and area are those of a part: leave them out (`touches_border` in ships.csv) when you measure.",
    )


def _touching(facts: Facts) -> Hint | None:
    ships = facts["ships"]
    if not ships["touching_other"]:
        return None
    return Hint(
        f"{_count(ships['touching_other'], 'ship touches', 'ships touch')} another one, in "
        f"{_count(ships['images_with_touching_ships'], 'image', 'images')}.",
        "In a mask they are one blob: counted by connected components, a perfect mask still misses ships there.",
    )


def _headings(facts: Facts) -> Hint | None:
    counts = facts["ships"]["heading_deg"]["histogram"]["counts"]
    if sum(counts) < _ENOUGH_HEADINGS:
        return None
    ratio = max(counts) * len(counts) / sum(counts)
    if ratio <= _EVEN_HEADINGS:
        return Hint(
            "Ships point every way about equally.",
            "Flips and quarter turns (`augment.names: [d4]`) show nothing that could not be.",
        )
    return Hint(
        f"Headings are uneven: the fullest 10 degrees hold {ratio:.1f} times their share.",
        "Flips and quarter turns (`augment.names: [d4]`) keep the network from learning a place's shipping lane.",
    )


def _copies(facts: Facts) -> Hint | None:
    shared, duplicates = facts["rows"]["masks_in_several_images"], facts["duplicates"]
    parts = []
    if shared["masks"]:
        parts.append(f"{_count(shared['masks'], 'mask stands', 'masks stand')} in more than one image")
    if duplicates and duplicates["groups"]:
        parts.append(f"{duplicates['images']:,} files are copies of one another, byte for byte")
    if not parts:
        return None
    return Hint(f"{'; '.join(parts)}.", "Copies on both sides of a split flatter the score: keep them in one group.")


def _colours(facts: Facts) -> Hint | None:
    if not facts["colours"]:
        return None
    mean = facts["colours"]["mean_rgb"]
    shift = sum(found - usual for found, usual in zip(mean, _IMAGENET_MEAN, strict=True)) / 3
    if abs(shift) < _SHIFTED_LEVELS:
        return None
    shown = ", ".join(f"{value:.0f}" for value in mean)
    return Hint(
        f"The images are {'darker' if shift < 0 else 'brighter'} than photographs: mean {shown} in red, green and "
        f"blue, where ImageNet has {', '.join(f'{value:.0f}' for value in _IMAGENET_MEAN)}.",
        "`network.normalization` decides what the network sees of that; `sqrt` keeps contrast in dark sea.",
    )


_RULES: tuple[Callable[[Facts], Hint | None], ...] = (
    _empties,
    _pixels,
    _small_ships,
    _several,
    _leak,
    _groups,
    _faulty,
    _copies,
    _small_files,
    _undersampling,
    _mixed_sizes,
    _touching,
    _border,
    _colours,
    _headings,
)
