"""What is painted into a synthetic image: sea, land, ships, wakes, weather and the sensor."""
