"""What can go wrong, by what the caller should do about it."""


class MovierateError(Exception):
    """Base of every error that ends a command with one clear line."""

    exit_status = 1


class InputError(MovierateError):
    """Bad usage or bad input: says where, what was found and what to do."""

    exit_status = 2


class ConflictError(MovierateError):
    """Another run published the same thing first."""

    exit_status = 3
