"""The gap between synthetic and real images, measured without labels; see `__main__`."""
