"""Reading rasters: windows as RGB, bands, no data, and where on Earth their pixels are."""
