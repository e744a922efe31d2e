"""Exploring a dataset, an Airbus folder or a label table: facts as numbers, figures and an HTML page."""

__all__: list[str] = []
