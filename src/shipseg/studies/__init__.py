"""Studies: what changes when one thing is varied, over several seeds, with the noise told apart from the difference."""
