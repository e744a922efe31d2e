"""Reading and writing rasters: windows as RGB, band selection, no-data masks, georeferencing, areas of interest."""
