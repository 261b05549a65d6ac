"""The errors a user can cause; a command turns each into one line and exit code 2."""


class TgnError(Exception):
    """Anything the toolkit raises on purpose. The message says: got, expected, what to do."""


class UserError(TgnError, ValueError):
    """A wrong setting, argument or file."""


class DataError(UserError):
    """A data set that cannot be used as it is."""


class NotFoundError(UserError, FileNotFoundError):
    """A run, folder, checkpoint or weight file that is not where it should be."""


class DivergedError(TgnError, ArithmeticError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


class LostProcessError(TgnError):
    """Another process of the job is gone."""


class DamagedError(TgnError):
    """A file of ours is not what was written."""
