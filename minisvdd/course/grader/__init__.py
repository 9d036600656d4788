"""The grader: runs a submission in a process of its own, compares, diagnoses, and writes the results."""
