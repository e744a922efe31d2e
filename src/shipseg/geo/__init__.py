"""Rasters: RGB windows, band choice, no data, and the transform from pixels to coordinates."""
