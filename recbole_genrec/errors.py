"""The one exception for what a user can mend."""


class InputError(ValueError):
    """A setting, file or argument that cannot work.

    The message names the file, field or key, what was found and what was expected. The command line
    prints it as one line; from Python it is a `ValueError` like any other.
    """
