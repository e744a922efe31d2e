"""How well a model does: scores of an honest kind, and the threshold that it should be used with."""
