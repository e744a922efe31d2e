"""Scenes: a georeferenced raster of any size in, ships in metres out, in bounded memory."""
