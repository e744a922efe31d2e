"""What is in a dataset, an Airbus folder or a label table: as numbers, as figures and as a page."""

__all__: list[str] = []
