"""The errors of the reference solution, reproduced and measured; no other module imports this package."""
