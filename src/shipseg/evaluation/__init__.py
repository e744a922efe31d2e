"""Evaluation of a model on labelled images: scores, intervals, calibration and the choice of the decision rule."""
