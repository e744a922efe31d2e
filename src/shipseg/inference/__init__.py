"""Inference: predictors, prediction of images and folders, tables of ships, ONNX export."""
