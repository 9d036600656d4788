"""Assignments on the rivals of the method."""
