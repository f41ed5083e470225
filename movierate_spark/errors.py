"""The errors that a command reports in one line, each with its exit status."""


class MovierateError(Exception):
    """Base of all errors that end a command with one line; by itself, a failure during the run."""

    exit_status = 1


class InputError(MovierateError):
    """Bad usage or bad input. The message says where, what was found and what to do.

    ``argument`` is the parameter of the Python API that the message is about: "lake", "model", "requests",
    "out", ... It is None if there is no single one, as for a setting. The command line puts the name of the
    option before the message.
    """

    exit_status = 2

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class MovierateWarning(UserWarning):
    """What a run does otherwise than one would expect, and why: a line of the command's output."""


class ConflictError(MovierateError):
    """Another run has published to the same table or date meanwhile."""

    exit_status = 3
