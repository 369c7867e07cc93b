"""The exceptions that the command line prints as one line."""


class InputError(ValueError):
    """A setting, file or argument that cannot work.

    The message names the file, field or key, what was found and what was expected. The command line
    prints it as one line; from Python it is a `ValueError` like any other.
    """


class RunError(RuntimeError):
    """A run that cannot go on although its settings may be right: no disk space, no memory.

    The message says what to do. Unlike after an `InputError`, another attempt may succeed.
    """
