"""Training: a dataset and a recipe become a run, which can be resumed bit for bit."""
