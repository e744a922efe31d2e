"""Ship detection in georeferenced rasters of any size, in bounded memory, with ships measured in metres."""
