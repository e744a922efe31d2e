"""The README of a model: its sections and lines, and what a card without values leaves out."""

from __future__ import annotations

import yaml

from shipseg.config import Decision, NetworkConfig
from shipseg.model.card import Card, CardInput, CardTested, CardTraining
from shipseg.model.card_page import describe_card
from shipseg.recipes import load_recipe

RECIPE = load_recipe("resized-256")
CARD = Card(
    name="Model 2",
    network=NetworkConfig(),
    input=CardInput(scale=1 / 3),
    decision=Decision(threshold=0.37, metric="airbus_score", min_peak=0.9, min_area_px=12),
    data={
        "train_images": 1234,
        "train_images_with_ships": 600,
        "train_ships": 2345,
        "origin": "synthetic | seed 5",
    },
    training={"recipe": RECIPE.model_dump(mode="json"), "finished": False, "steps": 5000},
    scores={"val_pooled_dice": 0.81234},
    versions={"shipseg": "0.1", "torch": "2.9"},
    files={"model.safetensors": "abc"},
    created="2025-01-02",
)


def test_the_readme_of_a_bundled_model_has_licence_use_limits_and_test_scores() -> None:
    shipped = {
        "license": "Apache-2.0",
        "intended_use": "screening.",
        "limits": ("It misses boats.",),
        "tested": {
            "600 synthetic images": CardTested.model_validate(
                {"airbus_score": 0.75, "num_images": 600, "recall < 100 px": None}
            )
        },
    }
    page = describe_card(CARD.model_copy(update=shipped))
    for words in (
        "Licence: Apache-2.0.",
        "Meant for: screening.",
        "- It misses boats.",
        "| Score on 600 synthetic images | Value |",
        "| score of the Airbus challenge | 0.7500 |",
        "| num images | 600 |",
    ):
        assert words in page
    assert "recall < 100" not in page


def test_the_page_of_an_onnx_file_names_it_in_the_commands() -> None:
    page = describe_card(CARD, model="ships.onnx")
    assert "shipseg predict IMAGES --model ships.onnx --out OUT" in page
    assert "shipseg evaluate DATA SCORES --model ships.onnx" in page
    assert "THIS_FOLDER" not in page
    assert "from_pretrained" not in page  # reads folders alone


def test_the_readme_has_use_decision_rule_scores_data_and_hashes() -> None:
    page = describe_card(CARD)
    for words in (
        "# Model 2",
        "about 1.5 m per pixel; a unet on the encoder resnet18.",
        "Made with shipseg 0.1 on 2025-01-02.",
        "shipseg predict IMAGES --model THIS_FOLDER --out OUT",
        "the network's input is the image scaled by 0.3333.",
        "pixels with a probability of at least 0.37 are ship (chosen for: score of the Airbus challenge).",
        "Peak threshold: a ship has a pixel with a probability of at least 0.9.",
        "A ship has at least 12 pixels.",
        "| pooled Dice, all images | 0.8123 |",
        "- 1,234 images for training: 600 with ships, 2,345 ships in all.",
        "- Origin: synthetic \\| seed 5",
        "| Steps | 5,000 |",
        "| Finished | no |",
        "With torch 2.9.",
        "Its training had not finished",
        "- `model.safetensors`: SHA-256 `abc`",
        "from_pretrained",
    ):
        assert words in page, words


def test_the_recipe_in_the_readme_is_complete_and_can_be_loaded() -> None:
    text = describe_card(CARD).split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(text) == RECIPE.model_dump(mode="json")


def test_a_recipe_of_another_version_is_shown_as_it_is() -> None:
    assert "speed: 1,000" in describe_card(CARD.model_copy(update={"training": CardTraining(recipe={"speed": 1000})}))


def test_missing_values_have_no_heading() -> None:
    page = describe_card(Card(network=NetworkConfig(architecture="compact")))
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == ["# unnamed", "## Use", "## Input", "## Decision rule", "## Limits"]
    assert "compact U-Net.\n" in page
    assert "from_pretrained" not in page
