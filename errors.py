"""Errors that are a person's to set right, and not a bug's."""


class UserError(Exception):
    """Told in one line without a traceback. The message names the setting, the file or the task, and what is wrong."""


class Damaged(UserError):
    """A file of a run is not what was written, or is gone. `tandem repair RUN` sets aside what is, and says what is lost."""
