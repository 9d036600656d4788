"""Assignments on single operations: forward and backward passes of layers, losses, Adam."""
