"""Networks, losses, and models on disk."""
