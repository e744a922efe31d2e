"""Studies: variants of a training compared over several seeds, with tests of significance."""
