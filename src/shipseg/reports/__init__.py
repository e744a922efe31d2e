"""Results as figures and pages that explain themselves."""
