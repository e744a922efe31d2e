"""Preparing a dataset from an Airbus folder, and sampling training batches from it."""

__all__: list[str] = []
