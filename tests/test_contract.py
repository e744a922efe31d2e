"""What users and other programs read: file names, JSON keys, table columns, `--json` output, old cards, resumed work.

Every command runs once, through the command line, on small synthetic data. The tables below list what is read today; a
change here is a change of a file format. Flags are in test_command_line.py, digests in test_bit_for_bit.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import geopandas
import numpy as np
import onnx
import pandas as pd
import pyogrio
import pytest
import rasterio
import torch
import yaml

import shipseg
from shapes import differences, header, lost, tree
from shipseg.cli import run

NETWORK = ("--network.architecture", "compact", "--network.widths", "[8, 8, 8]")
SHORT = ("--train.epochs", 1, "--train.batch_size", 4, "--sampling.batches_per_epoch", 2, "--threshold.max_images", 4)


@dataclass(frozen=True)
class Ran:
    """A command that has run: the folder or file that it wrote, and its `--json` output."""

    out: Path
    printed: Any


def ran(out: Path, *arguments: object, status: int = 0) -> Ran:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run([*map(str, arguments), "--json"]) == status
    return Ran(out, json.loads(printed.getvalue()))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(scope="module")
def airbus(place: Path) -> Ran:
    out = place / "airbus"
    flags = ("--images", 14, "--size", 128, "--seed", 5, "--empty-share", 0.4, "--overlap", 0.3, "--workers", 1)
    return ran(out, "synth", out, *flags)


@pytest.fixture(scope="module")
def labelled(airbus: Ran, place: Path) -> Path:
    """The same images, one of them truncated."""
    folder = Path(shutil.copytree(airbus.out, place / "labelled"))
    image = min((folder / "train_v2").iterdir())
    image.write_bytes(image.read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def dataset(labelled: Path, place: Path) -> Ran:
    out = place / "dataset"
    return ran(out, "prepare", labelled, out, "--size", 64, "--test-share", 0.2, "--workers", 1)


@pytest.fixture(scope="module")
def exploration(dataset: Ran, place: Path) -> Ran:
    return ran(place / "exploration", "explore", dataset.out, place / "exploration", "--workers", 1)


@pytest.fixture(scope="module")
def training(dataset: Ran, place: Path) -> Ran:
    recipe = ("--recipe", "base", "--input.crop_size", 64, *NETWORK, *SHORT)
    return ran(place / "run", "train", dataset.out, place / "run", *recipe)


@pytest.fixture(scope="module")
def continued(training: Ran, dataset: Ran, place: Path) -> Ran:
    out = Path(shutil.copytree(training.out, place / "continued"))
    return ran(out, "continue", dataset.out, out, "--epochs", 1, "--lr", 1e-4)


@pytest.fixture(scope="module")
def scores(labelled: Path, place: Path) -> Ran:
    return ran(place / "scores", "evaluate", labelled, place / "scores", "--model", "shipseg-small", status=1)


@pytest.fixture(scope="module")
def tuned(airbus: Ran, place: Path) -> Ran:
    how = ("--calibrate", "isotonic", "--no-rectangles", "--false-alarms", 0.5)
    return ran(place / "tuned", "threshold", "shipseg-small", airbus.out, "--out", place / "tuned", *how)


@pytest.fixture(scope="module")
def gated(training: Ran, airbus: Ran, place: Path) -> Ran:
    return ran(place / "gated", "gate", training.out, airbus.out, "--out", place / "gated", "--loss", 0.5)


@pytest.fixture(scope="module")
def exported(gated: Ran, place: Path) -> Ran:
    return ran(place / "ships.onnx", "export", gated.out / "model", place / "ships.onnx")


@pytest.fixture(scope="module")
def predicted(labelled: Path, place: Path) -> Ran:
    out = place / "predicted"
    also = ("--format", "csv", "--format", "coco", "--submission", out / "submission.csv")
    return ran(out, "predict", labelled / "train_v2", "--out", out, "--model", "shipseg-small", *also, status=1)


@pytest.fixture(scope="module")
def scenes(place: Path) -> Ran:
    """One scene with one ship, which shipseg-small finds."""
    out = place / "scenes"
    return ran(out, "synth", out, "--scenes", 1, "--scene-size", 512, "--scene-kind", "anchorage", "--workers", 1)


@pytest.fixture(scope="module")
def archive(scenes: Ran, place: Path) -> Ran:
    """That scene in all formats, and a scene that cannot be read."""
    out, bad = place / "archive", place / "bad.tif"
    whole = (scenes.out / "scene-000.tif").read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    formats = [part for name in ("gpkg", "csv", "geojson", "parquet", "coco") for part in ("--format", name)]
    inputs = ("predict", scenes.out / "scene-000.tif", bad)
    return ran(out, *inputs, "--out", out, "--model", "shipseg-small", "--mask", *formats, status=1)


@pytest.fixture(scope="module")
def scene_scores(scenes: Ran, archive: Ran, place: Path) -> Ran:
    out = place / "scene-scores"
    return ran(out, "evaluate", scenes.out, out, "--predicted", archive.out)


@pytest.fixture(scope="module")
def study(dataset: Ran, place: Path) -> Ran:
    """A study with two trials that an earlier version finished."""
    out, spec = place / "study", place / "tiny.yaml"
    spec.write_text(yaml.safe_dump(STUDY))
    (out / "trials").mkdir(parents=True)
    (out / "study.yaml").write_text(yaml.safe_dump(STUDY))
    for variant, score in (("both", 0.6), ("dice", 0.5)):
        folder = out / "trials" / f"{variant}-seed0"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(RESULT | {"variant": variant, "airbus_score": score}))
    return ran(out, "study", spec, dataset.out, out)


STUDY = {
    "name": "tiny",
    "question": "Does Dice do as well as both?",
    "about": "",
    "recipe": "study-quick",
    "set": {"train.epochs": 1, "train.batch_size": 4, "network.widths": [8, 8, 8], "sampling.batches_per_epoch": 2},
    "seeds": [0],
    "baseline": "both",
    "metric": "airbus_score",
    "reference": {},
    "variants": [
        {"name": "both", "recipe": None, "set": {}, "prepare": None, "note": ""},
        {"name": "dice", "recipe": None, "set": {"loss.weights": {"dice": 1.0}}, "prepare": None, "note": "alone"},
    ],
    "quick": None,
}
RESULT = {
    "variant": "both",
    "seed": 0,
    "failed": "",
    "airbus_score": 0.6,
    "pooled_dice": 0.5,
    "image_dice": 0.4,
    "ship_f1": 0.3,
    "ship_precision": None,
    "ship_recall": 0.1,
    "false_alarm_images": 0.0,
    "seed_dice": 0.5,
    "recall <100": 0.0,
    "recall 100-1000": 0.1,
    "recall >=1000": None,
    "split": "test",
    "num_images": 2,
    "threshold": 0.3,
    "min_peak": 0.5,
    "minutes": 0.1,
    "images_seen": 8,
    "steps": 2,
    "best_epoch": 1,
    "parameters": 7000,
    "threads": 1,
    "shipseg": "0.1.0",
    "commands": ["shipseg train ...", "shipseg evaluate ..."],
}

# File names. `*` is the id of a synthetic image, or the time and host in the name of a TensorBoard file.

FILES = {
    "airbus": ["synth.json", "train_ship_segmentations_v2.csv", "train_v2/*.jpg", "truth.csv"],
    "dataset": ["coverage.npy", "images.npy", "index.parquet", "problems.csv", "report.json", "split.json"],
    "exploration": ["facts.json", "report.html", "ships.csv", "train_ship_segmentation_post_EDA.csv"],
    "training": [
        ".lock",
        "curves.png",
        "history.csv",
        "last.ckpt",
        "model/README.md",
        "model/model.safetensors",
        "model/shipseg.json",
        "previous.ckpt",
        "recipe.yaml",
        "tensorboard/events.out.tfevents.*",
    ],
    "scores": [
        "calibration.csv",
        "failed.csv",
        "images.csv",
        "metrics.json",
        "panel.png",
        "report.html",
        "ship_curve.csv",
        "ships.csv",
        "threshold_curve.csv",
    ],
    "tuned": ["curves.csv", "model.onnx", "report.html", "thresholds.json"],
    "gated": ["model/README.md", "model/model.safetensors", "model/shipseg.json"],
    "predicted": ["failed.csv", "masks/*.png", "overlays/*.jpg", "ships.coco.json", "ships.csv", "submission.csv"],
    "scenes": ["scene-000.ships.gpkg", "scene-000.tif"],
    "archive": [
        "archive.csv",
        "archive.json",
        "scene-000/mask.tif",
        "scene-000/probability.tif",
        "scene-000/quicklook.png",
        "scene-000/report.html",
        "scene-000/scene.json",
        "scene-000/ships.coco.json",
        "scene-000/ships.csv",
        "scene-000/ships.geojson",
        "scene-000/ships.gpkg",
        "scene-000/ships.parquet",
    ],
    "scene_scores": ["failed.csv", "metrics.json", "report.html", "ships.csv"],
    "study": [
        "curves.png",
        "dataset.json",
        "report.html",
        "results.csv",
        "study.yaml",
        "table.csv",
        "table.md",
        "trials/both-seed0/recipe.yaml",
        "trials/both-seed0/result.json",
        "trials/dice-seed0/recipe.yaml",
        "trials/dice-seed0/result.json",
    ],
}

# First lines of tables.

SHIP_COLUMNS = (
    "ship,scene,acquired,lon,lat,length_m,width_m,area_m2,heading_deg,confidence,peak,cut,"
    "x_px,y_px,length_px,width_px,area_px,heading_px_deg"
)
OPERATING_POINTS = (
    "images,threshold,min_peak,airbus_score,ship_precision,ship_recall,ship_f1,false_alarm_images,"
    "false_alarms_per_1000km2,pooled_dice,pooled_iou,precision,recall"
)
HEADERS = {
    ("airbus", "train_ship_segmentations_v2.csv"): "ImageId,EncodedPixels",
    ("airbus", "truth.csv"): "ImageId,scene,row0,col0",
    ("dataset", "problems.csv"): "ImageId,row,reason,detail",
    ("exploration", "ships.csv"): (
        "ImageId,area_px,length_px,width_px,aspect,heading_deg,center_row,center_col,touches_border,touches_other,"
        "image_height,image_width"
    ),
    ("exploration", "train_ship_segmentation_post_EDA.csv"): "ImageId,EncodedPixels,Ships,Size_kb",
    ("training", "history.csv"): (
        "epoch,phase,step,lr,train_loss,val_loss,val_pooled_dice,val_pooled_iou,val_image_dice,best,seconds,"
        "images_per_s"
    ),
    ("scores", "calibration.csv"): "of,low,high,count,mean_predicted,observed",
    ("scores", "failed.csv"): "image_id,reason,detail",
    ("scores", "images.csv"): (
        "image_id,group,height,width,num_true,num_predicted,matched,false_alarms,true_px,predicted_px,overlap_px,"
        "airbus,probability_sum,probability_on_ships,max_probability,stratum,dice,iou,"
        "true <100,true 100-1000,true >=1000,found <100,found 100-1000,found >=1000"
    ),
    ("scores", "ship_curve.csv"): OPERATING_POINTS,
    ("scores", "ships.csv"): "image_id,kind,row,col,area_px,length_px,best_iou,matched,confidence,peak",
    ("scores", "threshold_curve.csv"): "images,threshold,pooled_dice,pooled_iou,precision,recall,left_empty",
    ("tuned", "curves.csv"): f"{OPERATING_POINTS},network_threshold",
    ("predicted", "failed.csv"): "image,reason,message",
    ("predicted", "ships.csv"): (
        "image,ship,area_px,confidence,box_x,box_y,box_width,box_height,center_x,center_y,length_px,width_px,"
        "heading_deg,corner1_x,corner1_y,corner2_x,corner2_y,corner3_x,corner3_y,corner4_x,corner4_y"
    ),
    ("predicted", "submission.csv"): "ImageId,EncodedPixels",
    ("archive", "archive.csv"): "scene,status,ships,looked_at_km2,seconds,path,folder,message",
    ("archive", "scene-000/ships.csv"): f"{SHIP_COLUMNS},wkt,box_wkt",
    ("scene_scores", "failed.csv"): "scene,detail",
    ("scene_scores", "ships.csv"): (
        "scene,status,true_ship,predicted_ship,kind,iou,found_by_center,lon,lat,true_length_m,length_m,"
        "length_error_m,true_width_m,width_m,width_error_m,true_heading_deg,heading_deg,heading_error_deg,area_px,cut,"
        "confidence"
    ),
    ("study", "results.csv"): (
        "variant,seed,airbus_score,pooled_dice,image_dice,ship_f1,ship_precision,ship_recall,false_alarm_images,"
        "seed_dice,recall <100,recall 100-1000,recall >=1000,threshold,min_peak,minutes,images_seen,steps,best_epoch,"
        "parameters,split,num_images,threads,shipseg,failed,commands"
    ),
    ("study", "table.csv"): (
        "variant,seeds,failed,airbus_score,airbus_score sd,pooled_dice,pooled_dice sd,image_dice,image_dice sd,"
        "ship_f1,ship_f1 sd,ship_precision,ship_precision sd,ship_recall,ship_recall sd,false_alarm_images,"
        "false_alarm_images sd,seed_dice,seed_dice sd,recall <100,recall <100 sd,recall 100-1000,recall 100-1000 sd,"
        "recall >=1000,recall >=1000 sd,difference,p,exceeds_noise,minutes,images_seen,steps,parameters"
    ),
}

# Shapes of JSON files and of what `--json` prints; see shapes.differences.

SHARE = (float, None)  # None where there is nothing to divide by
INTERVAL = ([float], None)
SIZES = ("<100", "100-1000", ">=1000")
STRATA = ("none", "single", "multiple")

SPLIT_COUNTS = {
    "images": int,
    "share": float,
    "ships": int,
    "groups": int,
    "share_by_num_ships": dict.fromkeys(("0", "1", "2", "3-5", "6+"), float),
}
SPLITS = dict.fromkeys(("train", "val", "test"), SPLIT_COUNTS)
MATCH = {"correlation": float, "images": [str]}
LEAK = {
    "groups_on_two_sides": int,
    "joined_from_correlation": float,
    "best_match": dict.fromkeys(("train-val", "train-test", "val-test"), MATCH),
}
REPORT = {
    "format": 1,
    "images": int,
    "ships": int,
    "kept": {"images": int, "ships": int, "without_ships": int},
    "left_out": {"truncated": {"images": int, "ships": int}},
    "table": {"rows": int},
    "image_sizes_px": {"128 x 128": int},
    "groups": {"groups": int, "groups_of_several": int, "largest": int, "overlapping_pairs": int},
    "splits": SPLITS,
    "leak": LEAK,
    "cache": {"size": int, "scale": float, "canvas": [int], "bytes": int},
    "options": {
        "size": int,
        "val_share": float,
        "test_share": float,
        "seed": int,
        "drop_list_sha256": None,
        "min_kb": None,
        "keep_empty": None,
        "any_size": bool,
    },
    "source": {
        "root": str,
        "csv": str,
        "images": str,
        "num_files": int,
        "csv_sha256": str,
        "files_sha256": str,
    },
    "fingerprint": str,
}

DISTRIBUTION = {
    "num": int,
    "mean": float,
    "std": float,
    "min": float,
    "max": float,
    "quantiles": dict.fromkeys(("1", "5", "25", "50", "75", "95", "99"), float),
    "histogram": {"edges": [float], "counts": [int]},
}
CLEANED = {"images": int, "with_ships": int, "ships": int, "share_of_ships": float}
LEFT_OUT = {str: CLEANED | {"examples": [str]}}
FACTS = {
    "source": {
        "kind": "dataset",
        "path": str,
        "csv": str,
        "images_folder": str,
        "images": int,
        "images_of_unknown_size": int,
        "their_size_taken_for_px": str,
    },
    "rows": {
        "rows": int,
        "images": int,
        "per_image": {str: int},
        "most": int,
        "duplicate_rows": int,
        "empty_rows_of_images_with_ships": int,
        "malformed_masks": int,
        "images_with_overlapping_ships": int,
        "masks_in_several_images": {"masks": int, "images": int, "examples": []},
    },
    "ships_per_image": {str(number): {"images": int, "share": float, "ships": int} for number in range(16)},
    "imbalance": {
        "images": int,
        "empty": int,
        "with_ships": int,
        "empty_share": float,
        "one": int,
        "several": int,
        "several_share": float,
        "ships": int,
        "ships_per_ship_image": float,
        "ships_in_images_of_several": int,
    },
    "pixels": {
        "ship_px": int,
        "all_px": int,
        "share_of_all": float,
        "share_in_ship_images": float,
        "images_counted": int,
    },
    "ships": {
        "ships": int,
        "measured": int,
        **dict.fromkeys(("area_px", "length_px", "width_px", "aspect", "heading_deg"), DISTRIBUTION),
        "without_direction": int,
        "position": {"cells": int, "counts": [[int]]},
        "sizes": [{"name": str, "ships": int, "share": float, "share_of_ship_px": float}],
        "reduced": {"side_px": int, "few_px": int, "ships": int, "share": float},
        "touching_border": int,
        "touching_border_share": float,
        "touching_other": int,
        "touching_other_share": float,
        "images_with_touching_ships": int,
    },
    "cleaning": {
        "own": {"kept": CLEANED, "lost": CLEANED, "left_out": LEFT_OUT},
        "reference": {
            "min_kb": float,
            "keep_empty": float,
            "listed": int,
            "kept": CLEANED,
            "lost": CLEANED,
            "left_out": LEFT_OUT,
        },
    },
    "images": {"readable": int, "sizes_px": {"128 x 128": int}, "one_size": bool},
    "files": {
        "kb": DISTRIBUTION,
        "line_kb": float,
        "below_line": {"images": int, "share": float, "with_ships": int, "ships": int},
    },
    "colours": {
        "images": int,
        "of_images": int,
        "mean_rgb": [float],
        "std_rgb": [float],
        "darkest_share": [float],
        "brightest_share": [float],
        "histogram": {"red": [float], "green": [float], "blue": [float]},
    },
    "duplicates": {"groups": int, "images": int, "examples": []},
    "groups": {
        "images": int,
        "groups": int,
        "groups_of_several": int,
        "images_in_groups_of_several": int,
        "largest": int,
        "by_size": dict.fromkeys(("1", "2", "3-5", "6-10", "11-25", "26+"), int),
        "overlapping_pairs": int,
        "leaking_share_of_random_val": float,
    },
    "split": {"splits": SPLITS, "leak": LEAK},
    "not_known": {},
    "hints": [{"finding": str, "advice": str}],
}

SCHEDULE = {
    "name": str,
    "warmup_steps": int,
    "factor": float,
    "patience": int,
    "every_epochs": int,
    "final_share": float,
}
RECIPE = {
    "name": str,
    "description": str,
    "network": {
        "architecture": str,
        "encoder": str,
        "encoder_weights": None,
        "widths": [int],
        "normalization": str,
    },
    "input": {"mode": str, "crop_size": int, "ship_crop_share": float, "scale_jitter": float},
    "sampling": {"zero_ships_ratio": float, "multiple_ships_ratio": None, "batches_per_epoch": (int, None)},
    "augment": {"names": [str], "probability": float, "ships_threshold_for_add_augs": None, "additional": []},
    "loss": {
        "weights": {"bce": float, "dice": float},
        "smooth": float,
        "focal_gamma": float,
        "focal_alpha": None,
        "tversky_alpha": float,
        "tversky_beta": float,
        "small_ships": float,
        "between_ships": float,
    },
    "train": {
        "start_from": None,
        "epochs": int,
        "batch_size": int,
        "lr": float,
        "optimizer": str,
        "weight_decay": float,
        "momentum": float,
        "schedule": SCHEDULE,
        "seed": int,
        "ema_decay": float,
        "clip_norm": float,
        "precision": str,
        "channels_last": bool,
        "deterministic": bool,
        "device": str,
        "workers": int,
        "checkpoint_every_steps": int,
        "best_metric": str,
        "early_stopping_epochs": None,
    },
    "threshold": {
        "metric": str,
        "precision": None,
        "pixel_precision": None,
        "false_alarm_images": None,
        "false_alarms_per_1000km2": None,
        "rectangles": None,
        "calibration": str,
        "max_images": int,
        "keep_below": int,
    },
    "phases": ([{"epochs": int, "lr": float, "schedule": SCHEDULE}], []),
}

RULES = {"threshold": float, "min_peak": float, "min_area_px": int, "separate": bool, "rectangles": bool}
DECISION = RULES | {"metric": str}
POINT_SCORES = {
    "airbus_score": float,
    "ship_precision": SHARE,
    "ship_recall": SHARE,
    "ship_f1": SHARE,
    "false_alarm_images": SHARE,
    "false_alarms_per_1000km2": SHARE,
    "pooled_dice": SHARE,
    "pooled_iou": SHARE,
    "precision": SHARE,
    "recall": SHARE,
}
CHOSEN = {
    "chosen_for": str,
    "reached": bool,
    "scores": POINT_SCORES,
    "intervals": dict.fromkeys(
        ("ship_precision", "ship_recall", "false_alarm_images", "false_alarms_per_1000km2"), INTERVAL
    ),
    "counts": {
        "images": int,
        "images_without_ships": int,
        "ships": int,
        "right": int,
        "predicted": int,
        "alarmed_images": int,
        "false_alarms": int,
    },
    "held_out_scores": (POINT_SCORES, None),
}
CHOICE = CHOSEN | {"data": str, "groups": int}
CALIBRATION = {
    "method": str,
    "temperature": float,
    "knots": ([[float]], []),
    "errors": ({"before": float, "after": float, "before_where_likely": SHARE, "after_where_likely": SHARE}, None),
}
THRESHOLDS = {
    "model": str,
    "data": str,
    "wish": str,
    "decision": DECISION,
    "network_threshold": float,
    "calibration": CALIBRATION,
    "chosen": CHOICE,
    "operating_points": [
        CHOSEN | {"wish": str, "threshold": float, "min_peak": float, "sentence": str},
    ],
}
GATE = {
    "reduction": int,
    "threshold": float,
    "wished_loss": float,
    "lost_recall": float,
    "lost_recall_at_most": float,
    "num_ships": int,
    "skipped_share": float,
    "num_empty_tiles": int,
    "tile_px": int,
    "time_share": float,
    "measured_on": str,
}
VALIDATION = dict.fromkeys(
    ("loss", "pooled_dice", "pooled_iou", "pooled_dice_at_half", "pooled_iou_at_half", "image_dice", "threshold"), float
)
CARD = {
    "format": 1,
    "name": str,
    "network": RECIPE["network"],
    "input": {
        "mode": str,
        "scale": float,
        "metres_per_pixel": float,
        "multiple": int,
        "tile": int,
        "overlap": int,
        "views": int,
    },
    "calibration": (CALIBRATION, None),
    "decision": DECISION,
    "choice": CHOICE,
    "gate": (GATE, None),
    "threshold_curve": {str: [float]},
    "data": {
        "fingerprint": str,
        "name": str,
        "train_images": int,
        "train_images_with_ships": int,
        "train_ships": int,
        "val_images": int,
        "val_images_with_ships": int,
        "val_ships": int,
    },
    "training": {
        "recipe": RECIPE,
        "finished": bool,
        "epochs": int,
        "best_epoch": int,
        "steps": int,
        "images_seen": int,
        "seed": int,
        "processes": int,
        "hours": float,
    },
    "scores": {f"val_{name}": float for name in VALIDATION},
    "tested": {},
    "intended_use": str,
    "limits": [],
    "license": str,
    "versions": {"shipseg": str, "torch": str, "python": str},
    "files": {"model.safetensors": str},
    "created": str,
}
TRAINED = {
    "run": str,
    "model": str,
    "epochs": int,
    "steps": int,
    "best_epoch": int,
    "scores": VALIDATION,
    "decision": DECISION,
    "hours": float,
    "stopped_early": bool,
    "resumed_at_step": (int, None),
    "was_finished": bool,
}

SCORES = (
    "airbus_score",
    "airbus_score_of_predicting_nothing",
    "airbus_score_above_nothing",
    "pooled_dice",
    "pooled_iou",
    "pooled_dice_ship_images",
    "image_dice",
    "ship_precision",
    "ship_recall",
    "ship_f1",
    "false_alarm_images",
    "false_alarms_per_1000km2",
)
METRICS = {
    "model": "shipseg-small",
    "data": str,
    "num_images": int,
    "num_images_with_ships": int,
    "num_images_by_group": dict.fromkeys(STRATA, int),
    "num_ships": int,
    "num_ships_by_size": dict.fromkeys(SIZES, int),
    "num_predicted": int,
    "num_failed": int,
    "num_groups": int,
    **RULES,
    "threshold_chosen_for": str,
    **dict.fromkeys(SCORES, float),
    "recall_by_size": dict.fromkeys(SIZES, SHARE),
    "precision_by_size": dict.fromkeys(SIZES, SHARE),
    "dice_by_group": dict.fromkeys(STRATA, SHARE),
    "seed_dice": float,
    "intervals": {
        **dict.fromkeys(SCORES, INTERVAL),
        "recall_by_size": dict.fromkeys(SIZES, INTERVAL),
        "precision_by_size": dict.fromkeys(SIZES, INTERVAL),
        "dice_by_group": dict.fromkeys(STRATA, INTERVAL),
    },
    "interval_rounds": int,
    "calibration_error": float,
    "calibration_error_where_likely": SHARE,
    "best_in_hindsight": {"airbus_score": float, "threshold": float, "min_peak": float},
}

OF_SHIPS = {"share": SHARE, "num": int}
LENGTHS = ("below 20 m", "20 to 50 m", "50 to 100 m", "from 100 m")
AREAS = ("below 100 px", "100 to 1000 px", "from 1000 px")
ERROR = {"num": int, "bias": SHARE, "median": SHARE, "p95": SHARE}
SCENE_METRICS = {
    "model": "shipseg-small",
    "decision": RULES,
    "scenes": [str],
    "num_scenes": int,
    "looked_at_km2": float,
    "num_ships": int,
    "num_cut": int,
    "num_predicted": int,
    "by_iou": {
        "rule": str,
        "precision": SHARE,
        "recall": SHARE,
        "f1": SHARE,
        "recall_by_length": dict.fromkeys(LENGTHS, OF_SHIPS),
        "precision_by_length": dict.fromkeys(LENGTHS, OF_SHIPS),
        "recall_by_area": dict.fromkeys(AREAS, OF_SHIPS),
        "precision_by_area": dict.fromkeys(AREAS, OF_SHIPS),
    },
    "by_center": {
        "rule": str,
        "precision": SHARE,
        "recall": SHARE,
        "f1": SHARE,
        "recall_by_length": dict.fromkeys(LENGTHS, OF_SHIPS),
    },
    "num_false_alarms": int,
    "num_unmatched": int,
    "false_alarms_per_1000km2": float,
    "wrong_per_1000km2": float,
    "errors": dict.fromkeys(
        ("length_m", "width_m", "heading_deg", "label_length_m", "label_width_m"),
        dict.fromkeys(("all", *LENGTHS), ERROR),
    ),
    "num_failed": int,
    "failed": [],
}
TILES = {"network": int, "no data": int, "outside": int, "gate": int}
SEEN = {
    "scene": {"size": int, "modified_ns": int, "header": str},
    "model": str,
    "tiles": {"scene": [int], "tile": [int], "shown": [int], "overlap": [int]},
}
SCENE = {
    "format": 1,
    "shipseg": str,
    "scene": {
        "name": str,
        "path": str,
        "height": int,
        "width": int,
        "bands": [int],
        "dtype": str,
        "crs": str,
        "metres_per_row_and_column": [float],
        "acquired": str,
        "notes": [str],
    },
    "model": "shipseg-small",
    "decision": RULES,
    "num_ships": int,
    "num_cut": int,
    "looked_at_px": int,
    "looked_at_km2": float,
    "tiles": TILES,
    "dropped": [],
    "files": [str],
    "identity": {
        **SEEN,
        "options": {
            "bands": None,
            "stretch": None,
            "metres_per_pixel": None,
            "water": None,
            "area": None,
            "gate": bool,
            "formats": [str],
            "probability": bool,
            "mask": bool,
            "quicklook": bool,
            "threshold": None,
        },
    },
}
SEARCHED = {
    "path": str,
    "status": str,
    "folder": str,
    "num_ships": int,
    "num_cut": int,
    "looked_at_km2": float,
    "tiles": TILES,
    "dropped": [],
    "files": [str],
    "seconds": dict.fromkeys(("total", "network", "waiting_for_reader", "waiting_for_writer", "finishing"), float),
}
ATTEMPTS = {
    "scenes": {
        "scene-000": SEARCHED | {"status": "done"},
        "bad": {"path": str, "status": "failed", "message": str},
    }
}
COCO = {
    "info": {"description": str},
    "licenses": [],
    "images": [{"id": int, "file_name": str, "height": int, "width": int}],
    "annotations": [
        {
            "id": int,
            "image_id": int,
            "category_id": int,
            "segmentation": {"size": [int], "counts": [int]},
            "area": int,
            "bbox": [int],
            "iscrowd": int,
            "score": float,
        }
    ],
    "categories": [{"id": int, "name": str, "supercategory": str}],
}


STUDY_ROW = {
    "variant": str,
    "seeds": int,
    **dict.fromkeys(("airbus_score", "pooled_dice", "image_dice", "ship_f1", "false_alarm_images"), str),
    "difference": (float, None),
    "p": (float, None),
    "exceeds_noise": bool,
    "minutes": float,
    "images_seen": float,
}

PRINTED = {
    "airbus": {
        "folder": str,
        **dict.fromkeys(("num_images", "num_empty", "num_ships", "num_scenes", "num_made", "num_kept"), int),
    },
    "dataset": REPORT,
    "exploration": FACTS,
    "training": TRAINED,
    "continued": TRAINED,
    "scores": METRICS,
    "tuned": THRESHOLDS,
    "gated": GATE | {"model": str},
    "exported": {
        "path": str,
        "size_mb": float,
        "num_pixels": int,
        "max_difference": float,
        "mean_difference": float,
        "flipped_share": float,
    },
    "predicted": {
        "pictures": int,
        "with_ships": int,
        "ships": int,
        "failed": int,
        "elapsed_s": float,
        "written": [str],
        "failures": {str: str},
    },
    "scenes": {
        "scenes": {
            "folder": str,
            **dict.fromkeys(("num_scenes", "num_ships", "num_made", "num_kept"), int),
        }
    },
    "archive": ATTEMPTS,
    "scene_scores": SCENE_METRICS,
    "study": {"rows": [STUDY_ROW], "verdict": [str], "failed": [], "report": str},
}
JSON_FILES = {
    ("airbus", "synth.json"): {
        "world_version": int,
        "images": int,
        "seed": int,
        "overlap": float,
        "size": [int],
        "empty_share": float,
        "label": str,
        "metres_per_pixel": float,
        "no_data_share": float,
        "no_data_border_share": float,
    },
    ("dataset", "report.json"): REPORT,
    ("dataset", "split.json"): {"seed": int, "train": [str], "val": [str], "test": [str]},
    ("exploration", "facts.json"): FACTS,
    ("training", "model/shipseg.json"): CARD,
    ("gated", "model/shipseg.json"): CARD | {"gate": GATE},
    ("scores", "metrics.json"): METRICS,
    ("tuned", "thresholds.json"): THRESHOLDS,
    ("predicted", "ships.coco.json"): COCO,
    ("archive", "archive.json"): ATTEMPTS,
    ("archive", "scene-000/scene.json"): SCENE,
    ("archive", "scene-000/ships.coco.json"): COCO,
    ("scene_scores", "metrics.json"): SCENE_METRICS,
    ("study", "dataset.json"): {"dataset": str, "fingerprint": str},
}


def result_of(request: pytest.FixtureRequest, name: str) -> Ran:
    result = request.getfixturevalue(name)
    assert isinstance(result, Ran)
    return result


@pytest.mark.parametrize("name", FILES)
def test_a_command_writes_these_files(request: pytest.FixtureRequest, name: str) -> None:
    assert tree(result_of(request, name).out) == FILES[name]


@pytest.mark.parametrize(("name", "file"), HEADERS)
def test_a_table_has_these_columns(request: pytest.FixtureRequest, name: str, file: str) -> None:
    assert header(result_of(request, name).out / file) == HEADERS[name, file]


@pytest.mark.parametrize("name", PRINTED)
def test_a_command_prints_these_keys(request: pytest.FixtureRequest, name: str) -> None:
    assert differences(result_of(request, name).printed, PRINTED[name]) == []


@pytest.mark.parametrize(("name", "file"), JSON_FILES)
def test_a_json_file_has_these_keys(request: pytest.FixtureRequest, name: str, file: str) -> None:
    facts = json.loads((result_of(request, name).out / file).read_text())
    assert differences(facts, JSON_FILES[name, file]) == []


ATTRIBUTES = SHIP_COLUMNS.split(",")
BOX_ATTRIBUTES = ["ship", "length_m", "width_m", "heading_deg", "confidence", "cut", "length_px", "width_px"]
TRUE_ATTRIBUTES = [
    "id",
    "kind",
    "length_m",
    "width_m",
    "heading_deg",
    "label_length_m",
    "label_width_m",
    "lon",
    "lat",
    "visible_share",
    "cut",
]


def layers_of(file: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the kind of geometry and the attributes of each layer."""
    found = {}
    for name, kind in pyogrio.list_layers(file):
        found[str(name)] = (str(kind), [str(field) for field in pyogrio.read_info(file, layer=name)["fields"]])
    return found


def test_ships_lie_in_layers_with_these_attributes(archive: Ran) -> None:
    folder = archive.out / "scene-000"
    layers = layers_of(folder / "ships.gpkg")
    assert layers == {"ships": ("MultiPolygon", ATTRIBUTES), "boxes": ("Polygon", BOX_ATTRIBUTES)}
    feature = json.loads((folder / "ships.geojson").read_text())["features"][0]
    assert list(feature) == ["type", "id", "properties", "geometry"]
    assert list(feature["properties"]) == ATTRIBUTES
    parquet = geopandas.read_parquet(folder / "ships.parquet")
    assert list(parquet.columns) == [*ATTRIBUTES, "geometry"]
    assert parquet.crs.is_geographic


def test_true_ships_of_a_scene_lie_in_one_layer_with_these_attributes(scenes: Ran) -> None:
    assert layers_of(scenes.out / "scene-000.ships.gpkg") == {"ships": ("Polygon", TRUE_ATTRIBUTES)}


def test_rasters_of_a_scene_say_what_their_values_mean(archive: Ran) -> None:
    with rasterio.open(archive.out / "scene-000" / "probability.tif") as raster:
        assert (raster.dtypes, raster.nodata, raster.scales) == (("uint16",), 65535, (0.0001,))
        assert raster.descriptions == ("probability that the pixel belongs to a ship, in steps of 0.0001",)
    with rasterio.open(archive.out / "scene-000" / "mask.tif") as raster:
        assert (raster.dtypes, raster.nodata, raster.scales) == (("uint8",), 255, (1.0,))
        assert raster.descriptions == ("1 ship, 0 no ship, 255 no data",)


def test_a_synthetic_scene_says_how_it_was_made(scenes: Ran) -> None:
    with rasterio.open(scenes.out / "scene-000.tif") as raster:
        made = json.loads(raster.tags()["SHIPSEG_SYNTH"])
        assert "TIFFTAG_DATETIME" in raster.tags()
    keys = ("version", "world", "seed", "shape", "kind", "sparse", "label", "metres_per_pixel", "index")
    assert list(made) == list(keys)


def test_masks_are_black_and_white(predicted: Ran) -> None:
    masks = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (predicted.out / "masks").iterdir()]
    assert {mask.ndim for mask in masks if mask is not None} == {2}
    assert {int(value) for mask in masks if mask is not None for value in np.unique(mask)} == {0, 255}


def test_a_dataset_has_these_columns_and_arrays(dataset: Ran) -> None:
    index = pd.read_parquet(dataset.out / "index.parquet")
    columns = {
        "ImageId": "str",
        "EncodedPixels": "str",
        "Ships": "int64",
        "Size_kb": "float64",
        "group": "int64",
        "split": "str",
        "reason": "str",
        "rles": "object",
        "height": "int64",
        "width": "int64",
        "row": "int64",
        "ship_px": "int64",
    }
    assert list(index.columns) == list(columns)
    numbers = {name: kind for name, kind in columns.items() if kind in ("int64", "float64")}
    assert {name: str(index[name].dtype) for name in numbers} == numbers
    images, coverage = (np.load(dataset.out / name) for name in ("images.npy", "coverage.npy"))
    assert (images.shape, images.dtype) == ((13, 64, 64, 3), np.uint8)
    assert (coverage.shape, coverage.dtype) == ((13, 64, 64), np.uint8)


# Unfinished work, which a later run resumes.

STATE = {
    "recipe": RECIPE,
    "phases": [{"epochs": int, "lr": float, "schedule": SCHEDULE}],
    "steps_per_epoch": int,
    "dataset": str,
    "world_size": int,
    "environment": dict.fromkeys(("shipseg", "torch", "device", "threads"), str),
    "started_from": {},
    "rules_before": {},
    "appended": int,
    "step": int,
    "loss_sum": float,
    "train_seconds": float,
    "history": [
        {
            "epoch": int,
            "phase": int,
            "step": int,
            "lr": float,
            "train_loss": float,
            "val_loss": float,
            "val_pooled_dice": float,
            "val_pooled_iou": float,
            "val_image_dice": float,
            "best": int,
            "seconds": float,
            "images_per_s": float,
        }
    ],
    "best": {"epoch": int, "step": int, "scores": VALIDATION},
    "plateau": {"best": (float, None), "waited": int, "falls": int},
    "waited": int,
    "stopped_early": bool,
    "finished": bool,
}


def test_a_checkpoint_has_these_parts(training: Ran) -> None:
    content = torch.load(training.out / "last.ckpt", weights_only=True)
    assert set(content) == {"format", "state", "network", "average", "optimizer", "best"}
    assert content["format"] == 1
    assert differences(json.loads(content["state"]), STATE) == []
    names = {name.removeprefix("body.").split(".")[0] for name in content["best"]}
    assert names == {"encoder", "decoder", "head"}


def test_a_run_keeps_its_recipe_with_every_key(training: Ran) -> None:
    assert differences(yaml.safe_load((training.out / "recipe.yaml").read_text()), RECIPE) == []


def test_a_finished_run_is_recognised(training: Ran, dataset: Ran) -> None:
    again = ran(training.out, "train", dataset.out, training.out, "--recipe", training.out / "recipe.yaml", "--resume")
    assert again.printed["was_finished"]
    assert again.printed["scores"] == training.printed["scores"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_synth_is_resumed(airbus: Ran, tmp_path: Path) -> None:
    out = Path(shutil.copytree(airbus.out, tmp_path / "begun"))
    table, labels = out / "train_ship_segmentations_v2.csv", dict[str, list[str]]()
    for line in table.read_text().splitlines()[1:]:
        image, _, text = line.partition(",")
        labels.setdefault(image, []).extend([text] if text else [])
    *kept, gone = sorted(labels)
    for path in (out / "train_v2" / gone, table, out / "truth.csv"):
        path.unlink()
    (out / ".labels.jsonl").write_text("\n" + "".join(json.dumps({image: labels[image]}) + "\n" for image in kept))
    flags = ("--images", 14, "--size", 128, "--seed", 5, "--empty-share", 0.4, "--overlap", 0.3, "--workers", 1)
    again = ran(out, "synth", out, *flags)
    assert 12 <= again.printed["num_kept"] < 14  # the other tiles of its scene are made again with it
    assert contents(out) == contents(airbus.out)


def test_an_interrupted_prepare_is_resumed(labelled: Path, dataset: Ran, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    # A folder in place of the file makes the command fail at its last step, with its work folder kept.
    (out / ".prepare").mkdir(parents=True)
    (out / "images.npy").mkdir()
    command = ["prepare", str(labelled), str(out), "--size", "64", "--test-share", "0.2", "--workers", "1"]
    assert run(command) == 1
    (scan,) = (out / ".prepare" / "scan-1").glob("*.npz")
    assert tree(out / ".prepare") == [
        "coverage.npy",
        "done.bytes",
        "images.npy",
        "lock",
        "pixels.json",
        f"scan-1/{scan.name}",
        "scan-1/textures.npy",
    ]
    with np.load(scan) as stored:
        assert sorted(stored.files) == SCANNED
    assert differences(json.loads((out / ".prepare" / "pixels.json").read_text()), {"plan": str}) == []
    assert (out / ".prepare" / "done.bytes").read_bytes() == b"\x01"
    (out / "images.npy").rmdir()
    assert run(command) == 0
    assert {name: data for name, data in contents(out).items() if name != "index.parquet"} == {
        name: data for name, data in contents(dataset.out).items() if name != "index.parquet"
    }


SCANNED = ["ImageId", "detail", "fault", "height", "mtime_ns", "num_bytes", "spread", "textures", "width"]

WORK = {
    **SEEN,
    "looking": {
        "bands": None,
        "stretch": None,
        "metres_per_pixel": None,
        "water": None,
        "area": None,
        "gate": bool,
    },
}


def test_an_interrupted_scene_is_resumed(scenes: Ran, tmp_path: Path) -> None:
    work, obstacle = tmp_path / ".scene-000.work", tmp_path / "scene-000"
    obstacle.symlink_to("nowhere")  # the results cannot be renamed to this, so the work folder is kept
    scene = str(scenes.out / "scene-000.tif")
    assert run(["predict", scene, "--out", str(tmp_path), "--model", "shipseg-small", "--no-quicklook"]) == 1
    assert tree(work) == [
        ".lock",
        "results/probability.tif",
        "results/scene.json",
        "results/ships.csv",
        "results/ships.gpkg",
        "rows/00000.carry",
        "rows/00000.json",
        "rows/00000.levels",
        "work.json",
    ]
    text = (work / "work.json").read_text()
    assert differences(json.loads(text), WORK) == []
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"  # a resumed run compares the text
    assert json.loads((work / "rows" / "00000.json").read_text()) == {"network": 1, "pixels": 512 * 512}
    obstacle.unlink()
    done = ran(tmp_path, "predict", scene, "--out", tmp_path, "--model", "shipseg-small", "--no-quicklook")
    assert done.printed["scenes"]["scene-000"]["seconds"]["network"] == 0
    assert not work.exists()


def test_a_finished_scene_is_recognised(scenes: Ran, archive: Ran) -> None:
    formats = [part for name in ("gpkg", "csv", "geojson", "parquet", "coco") for part in ("--format", name)]
    inputs = (scenes.out / "scene-000.tif", "--out", archive.out, "--model", "shipseg-small", "--mask")
    again = ran(archive.out, "predict", *inputs, *formats).printed["scenes"]["scene-000"]
    assert differences(again, {name: shape for name, shape in SEARCHED.items() if name != "seconds"}) == []
    assert again["status"] == "skipped"


@pytest.mark.slow
def test_a_trial_of_a_study_leaves_these_files_and_this_result(dataset: Ran, tmp_path: Path) -> None:
    spec, out = tmp_path / "tiny.yaml", tmp_path / "out"
    spec.write_text(yaml.safe_dump(STUDY | {"variants": [{"name": "both"}]}))
    assert differences(ran(out, "study", spec, dataset.out, out).printed["rows"], [STUDY_ROW]) == []
    kept = [f"trials/both-seed0/{name}" for name in ("log.txt", "recipe.yaml", "result.json")]
    kept += [f"trials/both-seed0/run/{name}" for name in FILES["training"] if not name.endswith(".ckpt")]
    scores = [name for name in FILES["scores"] if name not in ("panel.png", "report.html")]
    kept += [f"trials/both-seed0/scores/{name}" for name in scores]
    assert tree(out) == sorted([name for name in FILES["study"] if not name.startswith("trials/")] + kept)
    result = json.loads((out / "trials" / "both-seed0" / "result.json").read_text())
    assert list(result) == list(RESULT)


@pytest.mark.slow
def test_the_demo_leaves_these_folders_and_prints_these_keys(tmp_path: Path) -> None:
    done = ran(tmp_path / "demo", "demo", tmp_path / "demo", "--quick")
    assert (
        differences(done.printed, dict.fromkeys(DEMO, str) | {"scores on unseen images": {str: (int, float, str)}})
        == []
    )
    names = ["airbus", "dataset", "evaluation", "panel.png", "predictions", "report.html", "run", "ships.onnx"]
    assert sorted(path.name for path in done.out.iterdir()) == [*names, "unseen"]


DEMO = ("training", "scores on unseen images", "report", "model", "onnx", "pictures", "try it")

# Models: cards, ONNX files, names.

METADATA = {
    "shipseg",
    "shipseg-graph-sha256",
    "shipseg-counters",
    "model_type",
    "class_names",
    "resolution",
    "tile_size",
    "tiles_size",
    "tiles_overlap",
    "seg_thresh",
    "seg_small_segment",
    "standardization_mean",
    "standardization_std",
}


@pytest.mark.parametrize("name", ["exported", "tuned"])
def test_an_onnx_file_has_its_card_in_its_metadata(request: pytest.FixtureRequest, name: str) -> None:
    out = result_of(request, name).out
    model = onnx.load(out if out.is_file() else out / "model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert set(metadata) == METADATA
    assert set(json.loads(metadata["shipseg"])) == set(CARD)
    assert [each.name for each in model.graph.input] == ["image"]
    assert [each.name for each in model.graph.output] == ["probability"]
    assert shipseg.load_model(out if out.is_file() else out / "model.onnx", backend="onnx").card.name


# Cards as earlier versions wrote them, by the line that `shipseg models` prints: of the first bundled model, of a run
# with a gate, and with the facts of a bundled model.
OLD_CARDS = {
    "first: compact, trained on 7,600 images, threshold 0.547 for airbus score, made 2026-11-21": """
        {"format": 1, "name": "first",
         "network": {"architecture": "compact", "encoder": "resnet18", "encoder_weights": null,
                     "widths": [16, 32, 64, 128, 192], "normalization": "sqrt"},
         "input": {"mode": "crops", "scale": 1.0, "metres_per_pixel": 1.5, "multiple": 32, "tile": 1024,
                   "overlap": 128},
         "calibration": {"method": "temperature", "temperature": 1.0706, "knots": [],
                         "errors": {"before": 0.0011, "after": 0.0013, "before_where_likely": 0.0985,
                                    "after_where_likely": 0.1029}},
         "decision": {"threshold": 0.5467, "min_peak": 0.9987, "min_area_px": 1, "separate": false,
                      "metric": "airbus_score"},
         "choice": {"data": "choose", "groups": 400, "chosen_for": "airbus_score", "reached": true,
                    "scores": {"airbus_score": 0.6, "ship_precision": 0.88, "ship_recall": 0.23, "ship_f1": 0.37,
                               "false_alarm_images": 0.01, "false_alarms_per_1000km2": 20.7, "pooled_dice": 0.66,
                               "pooled_iou": 0.49, "precision": 0.9, "recall": 0.52},
                    "intervals": {"ship_precision": [0.81, 0.93], "ship_recall": [0.2, 0.27],
                                  "false_alarm_images": [0.0018, 0.0311]},
                    "counts": {"images": 400, "images_without_ships": 200, "ships": 401, "right": 94,
                               "predicted": 107, "alarmed_images": 2, "false_alarms": 11},
                    "held_out_scores": {"airbus_score": 0.59, "ship_precision": 0.64, "ship_recall": 0.31,
                                        "ship_f1": 0.42, "false_alarm_images": 0.095,
                                        "false_alarms_per_1000km2": 124.3, "pooled_dice": 0.69, "pooled_iou": 0.53,
                                        "precision": 0.8, "recall": 0.61}},
         "gate": null,
         "threshold_curve": {"threshold": [0.0003, 0.5467], "airbus_score": [0.4, 0.6]},
         "data": {"fingerprint": "1f3d", "name": "dataset", "train_images": 7600, "train_images_with_ships": 3800,
                  "train_ships": 8900, "val_images": 400, "val_images_with_ships": 200, "val_ships": 401},
         "training": {"recipe": {"name": "shipseg-small", "network": {"architecture": "compact"},
                                 "loss": {"weights": {"bce": 2.0, "dice": 1.0}}, "train": {"lr": 0.002}},
                      "finished": true, "epochs": 12, "best_epoch": 12, "steps": 24000, "images_seen": 384000,
                      "seed": 0, "processes": 2, "hours": 2.1},
         "scores": {"val_loss": 0.75, "val_pooled_dice": 0.66},
         "versions": {"shipseg": "0.1.0", "torch": "2.13.0+cpu", "python": "3.11.7"},
         "files": {"model.safetensors": "00"}, "created": "2026-11-21"}""",
    "gated: unet on resnet34, trained on 12 images, threshold 0.31 for ship f1, made 2026-11-22": """
        {"format": 1, "name": "gated",
         "network": {"architecture": "unet", "encoder": "resnet34", "encoder_weights": "imagenet",
                     "widths": [24, 48, 96, 160, 192], "normalization": "imagenet"},
         "input": {"mode": "resized", "scale": 0.3333333333333333, "metres_per_pixel": 1.5, "multiple": 32,
                   "tile": 1024, "overlap": 128, "views": 4},
         "calibration": {"method": "isotonic", "temperature": 1.0, "knots": [[0.0, 0.0], [0.4, 0.3], [1.0, 1.0]],
                         "errors": null},
         "decision": {"threshold": 0.31, "min_peak": 0.5, "min_area_px": 4, "separate": true, "rectangles": false,
                      "metric": "ship_f1"},
         "choice": {"data": "dataset, split val", "groups": 3, "chosen_for": "false_alarm_images", "reached": false,
                    "scores": {"airbus_score": 0.5, "ship_precision": null, "ship_recall": 0.0, "ship_f1": 0.0,
                               "false_alarm_images": 0.0, "false_alarms_per_1000km2": 0.0, "pooled_dice": 0.0,
                               "pooled_iou": 0.0, "precision": null, "recall": 0.0},
                    "intervals": {"ship_precision": null, "ship_recall": [0.0, 0.66],
                                  "false_alarm_images": [0.0, 0.66], "false_alarms_per_1000km2": [0.0, 0.0]},
                    "counts": {"images": 4, "images_without_ships": 2, "ships": 2, "right": 0, "predicted": 0,
                               "alarmed_images": 0, "false_alarms": 0},
                    "held_out_scores": null},
         "gate": {"reduction": 4, "threshold": 12.5, "wished_loss": 0.005, "lost_recall": 0.0,
                  "lost_recall_at_most": 0.1, "num_ships": 25, "skipped_share": 0.75, "num_empty_tiles": 8,
                  "tile_px": 128, "time_share": 0.007, "measured_on": "airbus (train_ship_segmentations_v2.csv)"},
         "threshold_curve": {}, "data": {"train_images": 12}, "training": {}, "scores": {}, "tested": {},
         "intended_use": "", "limits": [], "license": "",
         "versions": {}, "files": {"model.safetensors": "00"}, "created": "2026-11-22"}""",
    "full: compact, trained on 7,675 images, threshold 0.46 for airbus score, made 2026-11-26": """
        {"format": 1, "name": "full",
         "network": {"architecture": "compact", "encoder": "resnet18", "encoder_weights": null,
                     "widths": [24, 48, 96, 160, 192], "normalization": "sqrt"},
         "input": {"mode": "crops", "scale": 1.0, "metres_per_pixel": 1.5, "multiple": 32, "tile": 1024,
                   "overlap": 128, "views": 4},
         "calibration": null,
         "decision": {"threshold": 0.4596, "min_peak": 0.9914, "min_area_px": 1, "separate": false,
                      "rectangles": true, "metric": "airbus_score"},
         "choice": {}, "gate": null, "threshold_curve": {},
         "data": {"fingerprint": "1f92", "name": "dataset", "train_images": 7675, "train_images_with_ships": 3880,
                  "train_ships": 9525, "val_images": 237, "val_images_with_ships": 120, "val_ships": 280,
                  "origin": "synthetic",
                  "synth": {"world_version": 13, "images": 8000, "seed": 40026, "overlap": 0.0, "size": [384, 384],
                            "empty_share": 0.5, "label": "rectangle", "metres_per_pixel": 1.5,
                            "no_data_share": 0.02, "no_data_border_share": 0.012}},
         "training": {"finished": true, "epochs": 2, "best_epoch": 2, "steps": 10000, "images_seen": 120000,
                      "seed": 0, "processes": 2, "hours": 1.2114,
                      "started_from": {"name": "full", "weights_sha256": "ae42", "data": "dataset",
                                       "created": "2026-11-26", "widths": "[16, 32, 64, 128, 192]"},
                      "commit": "ca31", "command": "shipseg train ..."},
         "scores": {"val_loss": 0.42},
         "tested": {"220 unseen synthetic images": {"airbus_score": 0.72, "recall <100 px": null}},
         "intended_use": "finding ships", "limits": ["It never saw a real image."], "license": "Apache-2.0",
         "versions": {"shipseg": "0.1.0"}, "files": {"model.safetensors": "00"}, "created": "2026-11-26"}""",
}


def test_old_cards_are_listed_with_what_they_say(tmp_path: Path) -> None:
    for number, text in enumerate(OLD_CARDS.values()):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "shipseg.json").write_text(text)
    listed = ran(tmp_path, "models", tmp_path).printed
    assert [listed[str(tmp_path / str(number))] for number in range(len(OLD_CARDS))] == list(OLD_CARDS)


@pytest.mark.parametrize("text", OLD_CARDS.values(), ids=["first", "gated", "full"])
def test_an_old_card_loads_with_every_value_as_it_was(training: Ran, text: str, tmp_path: Path) -> None:
    of_run = json.loads((training.out / "model" / "shipseg.json").read_text())
    # The weights of a small run, in place of those that the card was written for.
    card = json.loads(text) | {name: of_run[name] for name in ("network", "files")}
    shutil.copy(training.out / "model" / "model.safetensors", tmp_path)
    (tmp_path / "shipseg.json").write_text(json.dumps(card))
    model = shipseg.load_model(tmp_path)
    assert lost(card, model.card.model_dump(mode="json")) == []
    assert model.predict(np.zeros((40, 50, 3), np.uint8)).mask.shape == (40, 50)


@pytest.mark.parametrize("name", ["shipseg-base", "shipseg-small"])
def test_a_bundled_model_loads_with_its_card(name: str) -> None:
    card = shipseg.load_model(name).card
    assert card.name == name
    assert card.network.architecture == "compact"
    assert set(card.model_dump()) == set(CARD)


def test_the_bundled_models_are_listed_and_have_these_names(tmp_path: Path) -> None:
    assert list(ran(tmp_path, "models", tmp_path).printed) == [
        "shipseg-base (comes with shipseg, the default)",
        "shipseg-small (comes with shipseg)",
    ]


# Names of recipes and studies, and names that recipes accept.

RECIPES = [
    "base",
    "demo",
    "fine-tune",
    "improvement-2",
    "improvement-3",
    "model-1-simple",
    "model-2-stratified",
    "resized-256",
    "shipseg-base",
    "shipseg-small",
    "study-quick",
]
STUDIES = [
    "augmentations",
    "batch-size",
    "encoders",
    "input-size",
    "learning-rate",
    "losses",
    "models",
    "multiple-ships",
    "optimizers",
    "schedulers",
    "ships-threshold",
    "zero-ships",
]
ACCEPTED: dict[str, list[Any]] = {
    "network.normalization": ["imagenet", "airbus", "sqrt", "contrast"],
    "input.mode": ["resized", "crops"],
    "loss.weights": [{"bce": 1.0}, {"dice": 1.0}, {"focal": 1.0}, {"lovasz": 1.0}, {"tversky": 1.0}],
    "train.optimizer": ["adam", "adamw", "sgd", "rmsprop", "adagrad"],
    "train.schedule.name": ["constant", "plateau", "cosine", "one-cycle", "step"],
    "train.precision": ["bf16", "fp32"],
    "train.best_metric": ["loss", "pooled_dice", "pooled_iou", "image_dice"],
    "threshold.metric": ["pooled_dice", "pooled_iou", "airbus_score", "ship_f1"],
    "threshold.calibration": ["none", "temperature", "isotonic"],
}
KNOWN = {
    "network.architecture": ["compact", "unet", "unetplusplus", "fpn", "linknet", "manet", "pan", "pspnet"],
    "network.encoder": ["resnet18", "resnet34", "mobilenet_v2", "efficientnet-b0", "tu-<any network of timm>"],
    "augment.names": [
        "color-jitter",
        "cutout",
        "d4",
        "elastic-transform",
        "gauss-noise",
        "gaussian-blur",
        "grid-distortion",
        "horizontal-flip",
        "optical-distortion",
        "random-brightness-contrast",
        "random-rotate-90",
        "rgb-shift",
        "shift-scale-rotate",
        "vertical-flip",
    ],
}


def recipe_file(file: Path, key: str, value: object) -> Path:
    """Write a recipe with one value."""
    for name in reversed(key.split(".")):
        value = {name: value}
    file.write_text(yaml.safe_dump(value))
    return file


def test_recipes_have_these_names(tmp_path: Path) -> None:
    listed = ran(tmp_path, "recipes").printed
    assert list(listed) == RECIPES
    assert all(isinstance(description, str) for description in listed.values())


def test_studies_have_these_names(tmp_path: Path) -> None:
    assert list(ran(tmp_path, "study").printed) == STUDIES


def test_a_recipe_is_printed_with_these_keys(tmp_path: Path) -> None:
    assert differences(ran(tmp_path, "recipes", "base").printed, RECIPE) == []


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ACCEPTED.items() for value in values])
def test_a_recipe_accepts_this_value(key: str, value: object, tmp_path: Path) -> None:
    recipe = ran(tmp_path, "recipes", recipe_file(tmp_path / "mine.yaml", key, value)).printed
    for name in key.split("."):
        recipe = recipe[name]
    assert recipe == value


def test_a_recipe_accepts_no_other_value(tmp_path: Path) -> None:
    assert run(["recipes", str(recipe_file(tmp_path / "mine.yaml", "train.optimizer", "adamm"))]) == 1


@pytest.mark.parametrize("key", KNOWN)
def test_a_training_knows_these_names(key: str, dataset: Ran, tmp_path: Path) -> None:
    wrong = "[nothing]" if key == "augment.names" else "nothing"
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert run(["train", str(dataset.out), str(tmp_path / "run"), f"--{key}", wrong]) == 1
    assert set(KNOWN[key]) <= set(said.getvalue().strip().partition("Valid: ")[2].split(", "))


# What Python programs and shells use.


def test_a_shape_tells_what_is_different() -> None:
    shape = {"a": [int], "b": (float, None), "c": {str: str}, "d": 1}
    assert differences({"a": [1, 2], "b": None, "c": {"x": "y"}, "d": 1}, shape) == []
    wrong = {"a": [1, 2.0], "b": 3, "c": {}, "e": 1}
    assert differences(wrong, shape) == [
        "d is missing",
        "e is new",
        "a[1] is float, not int",
        "b is int, not float",
        "c is empty",
    ]


def test_the_package_has_these_names() -> None:
    assert shipseg.__all__ == ["Prediction", "Predictor", "__version__", "load_model", "masks"]


def test_a_model_is_loaded_with_these_arguments() -> None:
    parameters = inspect.signature(shipseg.load_model).parameters.values()
    assert [(each.name, each.default) for each in parameters] == [
        ("path_or_name", None),
        ("backend", "auto"),
        ("device", "auto"),
        ("threads", None),
        ("precision", "fp32"),
    ]


def test_a_prediction_and_its_ships_have_these_attributes(airbus: Ran) -> None:
    model = shipseg.load_model("shipseg-small")
    assert {"card", "backend", "predict", "probability"} <= set(dir(model))
    predictions = [model.predict(image) for image in sorted((airbus.out / "train_v2").iterdir())]
    prediction = max(predictions, key=lambda each: each.mask.sum())
    assert {field.name for field in dataclasses.fields(prediction)} == {"probability", "mask", "ships", "threshold"}
    assert [prediction.probability.dtype.name, prediction.mask.dtype.name] == ["float32", "bool"]
    ship = prediction.ships[0]
    public = {name: getattr(ship, name) for name in dir(ship) if not name.startswith("_") and name != "full_mask"}
    assert {name: type(value) for name, value in public.items()} == {
        "mask_box": tuple,
        "mask": np.ndarray,
        "area_px": int,
        "confidence": float,
        "peak": float,
        "center_rc": tuple,
        "length_px": float,
        "width_px": float,
        "heading_deg": float,
        "corners_xy": np.ndarray,
        "bbox_xywh": tuple,
    }
    assert ship.full_mask(prediction.mask.shape).sum() == ship.area_px


def test_the_airbus_score_is_reached_from_the_package() -> None:
    ship, most = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    ship[:4, :4], most[:4, :4] = True, True
    most[0, :2] = False  # an IoU of 14 in 16, above eight of the ten thresholds
    score = shipseg.masks.metrics.airbus_score
    assert [score([], []), score([ship], []), score([ship], [ship]), score([ship], [most])] == [1, 0, 1, 0.8]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("", 0),
        ("--version", 0),
        ("synth --help", 0),
        ("models nowhere", 1),
        ("recipes bse", 1),
        ("predict", 2),
        ("dance", 2),
        ("synth out --imagez 3", 2),
        ("predict image.jpg --out out --backend tpu", 2),
    ],
)
def test_the_exit_status(arguments: str, status: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shipseg", *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status
    assert done.stderr.count("\n") == (0 if status == 0 else 1)
    assert list(tmp_path.iterdir()) == []
