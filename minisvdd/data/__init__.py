"""Data sets: readers of their official formats, where they are found, and how they are fetched."""
