"""Masks: run-length encoding, ships as instances, scores of pixels and ships."""

__all__: list[str] = []
