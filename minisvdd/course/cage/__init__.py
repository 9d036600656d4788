"""What runs in a submission's process, around the submission: limits, the kernel's walls, the hook, the runner."""
