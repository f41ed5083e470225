"""The errors that a command reports in one line, each with its exit status."""


class MovierateError(Exception):
    """Base of all errors that end a command with one line; by itself, a failure during the run."""

    exit_status = 1


class InputError(MovierateError):
    """Bad usage or bad input. The message says where, what was found and what to do."""

    exit_status = 2


class ConflictError(MovierateError):
    """Another run has published to the same table or date meanwhile."""

    exit_status = 3
