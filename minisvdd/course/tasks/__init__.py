"""One module for each assignment: the functions to write, their parts and points, known mistakes, the handout."""
