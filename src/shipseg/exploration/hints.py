"""Hints for training, derived from the facts of an exploration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shipseg.number_formats import counted

__all__ = ["Hint", "find_hints"]

Facts = Mapping[str, Any]


class Hint(NamedTuple):
    """A finding and the advice that follows from it."""

    finding: str
    advice: str


_BATCH = 16
_MANY_EMPTY, _FEW_EMPTY = 0.6, 0.2  # shares of the images
_MOST_FILES = 0.5  # share of the files
_NOTABLE = 0.05  # share of the ships that is worth a hint
_ENOUGH_HEADINGS, _EVEN_HEADINGS = 1500, 1.3  # ships; largest of 18 bins over their mean
_IMAGENET_MEAN = (123.7, 116.3, 103.5)
_SHIFTED_LEVELS = 20  # grey levels


def find_hints(facts: Facts) -> list[dict[str, str]]:
    """Return the hints that follow from the facts, most important first: each a finding and an advice.

    Args:
        facts: See `Exploration.facts`.
    """
    return [hint._asdict() for rule in _RULES for hint in [rule(facts)] if hint is not None]


def _percent(value: float) -> str:
    percent = 100 * value
    if 10 <= percent <= 90:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if 0.1 <= percent <= 99.9 else f"{percent:.3g} %"


def _empties(facts: Facts) -> Hint | None:
    share = facts["imbalance"]["empty_share"]
    if not facts["imbalance"]["with_ships"]:
        return Hint(
            "No image has a ship.",
            "A network cannot learn from these labels: check that the label table is the right one.",
        )
    if share >= _MANY_EMPTY:
        empties = round(_BATCH * share)
        return Hint(
            f"{_percent(share)} of the images are empty.",
            f"With uniform sampling, {empties} of {_BATCH} images of a batch have no ship: set "
            "`sampling.zero_ships_ratio` (0.5 in the recipe `base`). Keep empty images in the validation split, "
            "otherwise false alarms are not measured.",
        )
    if share < _FEW_EMPTY:
        return Hint(
            f"Only {_percent(share)} of the images are empty." if share else "No image is empty.",
            "Most sea is empty: with so few empty images, false alarms are hardly measured. Add empty images, most of "
            "all to the validation split.",
        )
    return None


def _pixels(facts: Facts) -> Hint | None:
    share, inside = facts["pixels"]["share_of_all"], facts["pixels"]["share_in_ship_images"]
    if not share or share > 0.05:
        return None
    return Hint(
        f"Ships cover {100 * share:.3g} % of all pixels, {100 * inside:.3g} % of those in images with ships.",
        f"A network that never predicts a ship is right in {100 * (1 - share):.4g} % of the pixels. Score by Dice per "
        "image and ship recall, not by pixel accuracy, and use a loss with an overlap term (`loss.weights`: bce and "
        "dice).",
    )


def _small_ships(facts: Facts) -> Hint | None:
    reduced = facts["ships"]["reduced"]
    if not reduced["ships"] or reduced["share"] < _NOTABLE:
        return None
    return Hint(
        f"At {reduced['side_px']} px, {_percent(reduced['share'])} of the ships keep fewer than {reduced['few_px']} "
        "pixels.",
        "If small ships matter, train on native crops: `shipseg prepare --size native` and `input.mode: crops`.",
    )


def _several(facts: Facts) -> Hint | None:
    imbalance = facts["imbalance"]
    if not imbalance["several"] or not imbalance["one"]:
        return None
    of_ships = imbalance["ships_in_images_of_several"] / imbalance["ships"]
    return Hint(
        f"{_percent(imbalance['several_share'])} of the images with ships have several ships, "
        f"{_percent(of_ships)} of all ships.",
        f"`sampling.multiple_ships_ratio` samples them more often; at {imbalance['several_share']:.2f} of the ship "
        "images of a batch, none of them is repeated within an epoch.",
    )


def _groups(facts: Facts) -> Hint | None:
    groups = facts["groups"]
    if not groups or not groups["images_in_groups_of_several"]:
        return None
    return Hint(
        f"{counted(groups['images_in_groups_of_several'], 'image overlaps', 'images overlap')} with another image "
        f"({_percent(groups['images_in_groups_of_several'] / groups['images'])}).",
        f"In a random split, {_percent(groups['leaking_share_of_random_val'])} of the validation images would overlap "
        "with a training image; `shipseg prepare` splits whole groups.",
    )


def _leak(facts: Facts) -> Hint | None:
    if not facts["split"] or not facts["split"]["leak"]["groups_on_two_sides"]:
        return None
    return Hint(
        f"{facts['split']['leak']['groups_on_two_sides']} groups are in more than one split.",
        "Validation scores on this dataset are too high: prepare it again.",
    )


def _faulty(facts: Facts) -> Hint | None:
    lost = facts["cleaning"]["own"]["lost"]
    if not lost["images"]:
        return None
    reasons = ", ".join(
        f"{reason} {found['images']:,}" for reason, found in facts["cleaning"]["own"]["left_out"].items()
    )
    ships = counted(lost["ships"], "ship is", "ships are") if lost["ships"] else "no ship is"
    return Hint(
        f"{counted(lost['images'], 'image')} cannot be used ({reasons}): {ships} lost with them.",
        "`shipseg prepare` leaves them out and lists the reason for each in problems.csv.",
    )


def _small_files(facts: Facts) -> Hint | None:
    files = facts["files"]
    if not files or not files["below_line"]["images"]:
        return None
    below = files["below_line"]
    ships = counted(below["ships"], "ship") if below["ships"] else "no ship"
    finding = (
        f"{counted(below['images'], 'file has', 'files have')} {files['line_kb']:g} kB or less, with {ships} in total."
    )
    if below["share"] > _MOST_FILES:
        return Hint(finding, "The reference used this limit for images of 768 px; it does not apply to these images.")
    solid = "Most such images are calm sea or one colour. Solid ones are left out anyway; leaving out the others "
    if below["ships"]:
        return Hint(finding, f"{solid}(`--min-kb`) loses ships.")
    return Hint(finding, f"{solid}(`--min-kb`) removes the easiest empty images.")


def _undersampling(facts: Facts) -> Hint | None:
    dropped = facts["cleaning"]["reference"]["left_out"].get("empty-undersampled")
    if dropped is None or facts["imbalance"]["empty_share"] < _MANY_EMPTY:
        return None
    return Hint(
        f"Keeping 30 % of the empty images, as the reference did, leaves out {dropped['images']:,}.",
        "No ship is lost, but empty images teach the network to avoid false alarms: `sampling.zero_ships_ratio` gives "
        "batches of the same composition from all of them.",
    )


def _mixed_sizes(facts: Facts) -> Hint | None:
    if not facts["images"] or facts["images"]["one_size"]:
        return None
    sizes = facts["images"]["sizes_px"]
    usual, count = next(iter(sizes.items()))
    return Hint(
        f"The images have {len(sizes)} sizes; {count:,} of {facts['images']['readable']:,} are {usual} px.",
        "`shipseg prepare` keeps only the most common size; `--any-size` keeps all.",
    )


def _border(facts: Facts) -> Hint | None:
    share = facts["ships"]["touching_border_share"]
    if share is None or share < _NOTABLE:
        return None
    return Hint(
        f"{_percent(share)} of the ships are cut by the border of their image.",
        "Their length and area are those of the visible part: exclude them (`touches_border` in ships.csv) from "
        "statistics of size.",
    )


def _touching(facts: Facts) -> Hint | None:
    ships = facts["ships"]
    if not ships["touching_other"]:
        return None
    return Hint(
        f"{counted(ships['touching_other'], 'ship touches', 'ships touch')} another one, in "
        f"{counted(ships['images_with_touching_ships'], 'image')}.",
        "They form one connected component of a mask, so that even a perfect mask gives too few ships there.",
    )


def _headings(facts: Facts) -> Hint | None:
    counts = facts["ships"]["heading_deg"]["histogram"]["counts"]
    if sum(counts) < _ENOUGH_HEADINGS:
        return None
    ratio = max(counts) * len(counts) / sum(counts)
    if ratio <= _EVEN_HEADINGS:
        return Hint(
            "All headings are about equally frequent.",
            "Flips and rotations by 90 degrees (`augment.names: [d4]`) give realistic images.",
        )
    return Hint(
        f"Headings are uneven: the most frequent 10 degrees have {ratio:.1f} times their share.",
        "Flips and rotations by 90 degrees (`augment.names: [d4]`) prevent the network from learning the headings of "
        "this region.",
    )


def _copies(facts: Facts) -> Hint | None:
    shared, duplicates = facts["rows"]["masks_in_several_images"], facts["duplicates"]
    parts = []
    if shared["masks"]:
        parts.append(f"{counted(shared['masks'], 'mask is', 'masks are')} in more than one image")
    if duplicates and duplicates["groups"]:
        parts.append(f"{duplicates['images']:,} files are identical to another")
    if not parts:
        return None
    return Hint(f"{'; '.join(parts)}.", "Copies in two splits make the score too high: keep them in one group.")


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
        f"blue, {', '.join(f'{value:.0f}' for value in _IMAGENET_MEAN)} in ImageNet.",
        "Choose `network.normalization` accordingly; `sqrt` increases the contrast of dark sea.",
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
