"""What the reference solution's numbers meant, shown with our own code; nothing else in shipseg leans on this room."""
