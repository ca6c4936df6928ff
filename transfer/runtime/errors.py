"""What can go wrong for a user, one class a kind. Each message is one line: what, where, what to do."""


class PipelineError(Exception):
    """Base of all errors that reach the user as one line; anything else that escapes is a bug."""


class ParameterError(PipelineError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


class DownloadError(PipelineError):
    """An address could not be read, or answered with something else than what was asked for."""


class ArchiveError(PipelineError):
    """An image archive is damaged or not in CIFAR-10's binary layout."""


class WeightsError(PipelineError):
    """A weights file is damaged or belongs to another architecture."""


class DataError(PipelineError):
    """A data file does not fit the request made of it or the files used with it."""


class TrainingError(PipelineError):
    """Training cannot go on, for example because the loss is no longer a number."""


class ExportError(PipelineError):
    """A model cannot be written in another form, or answers otherwise there."""


class DeviceError(PipelineError):
    """The device cannot hold what was asked of it."""


class InterruptedRunError(PipelineError):
    """A signal asked the process to stop; work done so far is saved.

    `signal_number` is the signal's, so that the exit status can be 128 + signal_number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
