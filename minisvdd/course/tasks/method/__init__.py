"""Assignments on the method: the radius, the whole of Deep SVDD."""
