"""The family of errors that a user may see.

Every message says what was wrong, where, and what to do next. The command line prints it as one line
(or a line per mistake) and exits with `exit_code`; a stack trace means a defect of ours, not of the user's.
"""


class AimaasError(Exception):
    """Base of all errors whose message is meant for a person."""

    exit_code = 1


class SettingsError(AimaasError):
    """An environment variable holds a value that cannot be used."""


class FleetFileError(AimaasError):
    """A fleet file has mistakes; `mistakes` holds one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class StackError(AimaasError):
    """A part of the local stack could not be started, reached or stopped."""


class EndpointError(AimaasError):
    """A server cannot listen at the address it was given."""


class KafkaError(AimaasError):
    """A broker, topic or partition is not what was expected."""


class KafkaLastingError(KafkaError):
    """Kafka does not let this process do its work until a person changes something: waiting is in vain."""


class LakeError(AimaasError):
    """A table of the lake is missing, torn or of another shape."""


class GateFailedError(AimaasError):
    """Data did not pass a gate of the fleet file."""

    exit_code = 3


class TrainingRefusedError(AimaasError):
    """There is not enough, or not the right, data to train a model."""

    exit_code = 4


class SearchError(AimaasError):
    """A search of settings cannot begin or go on."""


class NothingFoundError(SearchError):
    """A search of settings found none to compare: nothing can be searched, or no trial came through."""


class RegistryError(AimaasError):
    """The model registry does not hold what was asked for, or an update lost a race."""


class ModelRefusedError(AimaasError):
    """A model artefact is torn, of another plan, or gives no usable prediction."""

    exit_code = 5


class StateError(AimaasError):
    """Device state cannot be read back: another layout, or the input it needs has been deleted."""

    exit_code = 6


class DeadLetterLimitError(AimaasError):
    """Too large a share of the events is refused: the scorer stops instead of draining the topic."""

    exit_code = 7


class ServiceError(AimaasError):
    """The HTTP service cannot listen where it was asked to."""
