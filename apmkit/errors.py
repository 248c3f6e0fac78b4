"""The error that every other error of a user's input derives from."""


class ApmkitError(ValueError):
    """Something given to apmkit cannot be used; the message says what, where, and what to do."""
