"""Files: written whole or not at all, read without pickle; checkpoints, and the progress of long work."""
