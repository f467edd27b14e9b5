"""What the exit code of `scaling` says; 0 is a success."""

FAILED = 1
"""The experiment failed."""
WRONG_INPUT = 2
"""A file or an option is wrong; the message says why."""
REFUSED = 3
"""No law fits the points, or no machine fits the plan."""
EXHAUSTED = 4
"""This machine has run out of something, as space on a disk."""
INTERRUPTED = 130
"""The user stopped the command."""
