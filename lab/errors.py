"""The lab's one error: a sentence that says what went wrong, where its log lies and what to do."""


class LabError(Exception):
    """Something that the lab needs is not there, did not start or did not answer in time."""
