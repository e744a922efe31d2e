"""Reading and writing rasters: GDAL settings, bands and no data, contrast stretch, RGB windows, georeference, COGs."""
