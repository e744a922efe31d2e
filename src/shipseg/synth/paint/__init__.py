"""Painting the parts of a synthetic image: sea, land, harbours, ships, wakes, weather, and simulating the sensor."""
