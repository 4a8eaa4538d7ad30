"""The family of errors that a user may see.

Every message says what was wrong, where, and what to do next. The command line prints it as one line (or a line for each
mistake) and exits with `exit_code`. A stack trace means a defect in this package.
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
    """A server cannot listen at the given address."""


class KafkaError(AimaasError):
    """A broker, topic or partition is not as expected."""


class KafkaLastingError(KafkaError):
    """Kafka does not let this process do its work until a person changes something, so waiting does not help."""


class LakeError(AimaasError):
    """A table of the lake is missing or torn, or has another schema."""


class GateFailedError(AimaasError):
    """Data did not pass a gate of the fleet file."""

    exit_code = 3


class TrainingRefusedError(AimaasError):
    """The data is not enough to train a model, or not suitable."""

    exit_code = 4


class SearchError(AimaasError):
    """A hyperparameter search cannot begin or continue."""


class NothingFoundError(SearchError):
    """A hyperparameter search has no result: there is nothing to search, or no trial finished."""


class RegistryError(AimaasError):
    """The model registry does not hold the requested object, or another update came first."""


class ModelRefusedError(AimaasError):
    """A model artefact is torn, has another plan, or gives no usable prediction."""

    exit_code = 5


class StateError(AimaasError):
    """Device state cannot be restored: its layout differs, or its input has been deleted."""

    exit_code = 6


class DeadLetterLimitError(AimaasError):
    """The share of refused events is above its limit: the scorer stops, instead of refusing the whole topic."""

    exit_code = 7


class ServiceError(AimaasError):
    """The HTTP service cannot listen at the requested address."""
