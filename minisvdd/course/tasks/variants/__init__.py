"""Variants of assignments: the same task by another rule, so that last year's file does not fit."""
