"""Assignments in CUDA C++, which run on the emulator."""
