"""Experiments: protocols, the grid of a table, reports and figures, and timing."""
