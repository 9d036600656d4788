"""Model solutions: plain readings of the operations, which the tests hold to the library's by grading them.

They are only bodies: signatures and docstrings of the skeletons come from the library (`minisvdd.course.skeleton`).
Comments that begin with `#:` are the steps which the guided level keeps.
"""
