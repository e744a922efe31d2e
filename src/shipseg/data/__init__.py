"""From an Airbus folder to a prepared dataset, and from that to training batches."""

__all__: list[str] = []
