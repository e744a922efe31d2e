"""Training: dataset x recipe -> run, resumable to the bit."""
