"""Masks: run-length texts, ships as instances, scores."""

__all__: list[str] = []
