"""Constants of the API: group, labels, states, reasons and condition types, each in one place.

The words are Kubernetes' (condition, reason) and Optuna's (trial, pruned). What each reason of a
trial means stands in `core.reasons`; which conditions stop work stands in `core.conditions`.
"""

import re
from enum import StrEnum

GROUP = "scaling-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

EXPERIMENT_KIND = "ScalingExperiment"
TRIAL_KIND = "ScalingTrial"
POLICY_KIND = "ResourcePolicy"

LABEL_EXPERIMENT = f"{GROUP}/experiment"
LABEL_SCALE = f"{GROUP}/scale"
LABEL_TRIAL = f"{GROUP}/trial"
LABEL_ATTEMPT = f"{GROUP}/attempt"
REPORT_AUDIENCE = f"{GROUP}/reports"
"""Audience of the tokens with which pods report."""
ANNOTATION_RESOURCES = f"{GROUP}/resources"
LABEL_FINISHES = f"{GROUP}/finishes"

# Derived names must stay within 63 characters: "-" + 2 digits of scale, "-" + 5 of trial, "-"
# + 2 of attempt.
EXPERIMENT_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
EXPERIMENT_NAME_LENGTH = 50
MAX_SCALES = 100
MAX_TRIALS_PER_SCALE = 100_000
DEFAULT_TRIALS = 40
DEFAULT_STARTUP_TRIALS = 10
MAX_ATTEMPTS = 100

# ASCII by letter: \w means more in Python and pydantic than in a CRD.
PARAMETER_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"

# Kubernetes' own: names of objects, keys of a ConfigMap or Secret, labels.
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
OBJECT_NAME_LENGTH = 253
DNS_LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""Names of namespaces and of volumes, and of a policy's shapes."""
DNS_LABEL_LENGTH = 63
VARIABLE_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
OBJECT_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
CONFIG_KEY_PATTERN = r"^[-._A-Za-z0-9]+$"
LABEL_KEY_PATTERN = rf"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_WORD}$"
LABEL_VALUE_PATTERN = rf"^({_WORD})?$"

# In every attempt's pod: where the contract's files lie, and the volumes that the operator adds.
ARTIFACTS_MOUNT = "/artifacts"
REPORT_MOUNT = "/var/run/secrets/scaling-operator"
RESULT_FILE = "/dev/termination-log"
RESERVED_MOUNTS = (ARTIFACTS_MOUNT, REPORT_MOUNT, RESULT_FILE)
RESERVED_VOLUMES = "scaling-"
"""Prefix of the names of volumes that belong to the operator."""
RESERVED_VARIABLES = "SCALING_"
"""Prefix of the names of environment variables that belong to the contract."""


class TrialState(StrEnum):
    """Where a trial stands. The last four are ends: a trial that reached one never leaves it."""

    RUNNING = "Running"
    QUEUED = "Queued"
    SUCCEEDED = "Succeeded"
    PRUNED = "Pruned"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def ended(self) -> bool:
        """Whether the trial is over."""
        return self not in (TrialState.RUNNING, TrialState.QUEUED)


class Phase(StrEnum):
    """An experiment at a glance; derived from its conditions, never remembered."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Reason(StrEnum):
    """Why an attempt ended without a value, or does not run yet."""

    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONFIG_ERROR = "ConfigError"
    TRAINER_FAILED = "TrainerFailed"
    DATA_ERROR = "DataError"
    NO_RESULT = "NoResult"
    INVALID_RESULT = "InvalidResult"
    TIMED_OUT = "TimedOut"
    DIVERGED = "Diverged"
    OOM_KILLED = "OOMKilled"
    ACCELERATOR_OOM = "AcceleratorOOM"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    NODE_LOST = "NodeLost"
    POD_DELETED = "PodDeleted"
    STORAGE_FULL = "StorageFull"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    SUSPENDED = "Suspended"
    INFEASIBLE = "Infeasible"


class StopReason(StrEnum):
    """Why a trial was stopped before its end."""

    GOAL_REACHED = "GoalReached"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    TOO_MANY_FAILURES = "TooManyFailures"
    UNUSABLE_DATA = "UnusableData"


class ConditionType(StrEnum):
    """Types of an experiment's conditions."""

    ACCEPTED = "Accepted"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"
    EXPORTED = "Exported"
    SIZED = "Sized"
    READY = "Ready"
    OFFERED = "Offered"
    FIT_READY = "FitReady"
    INVALID_POINTS = "InvalidPoints"
    NOT_ENOUGH_POINTS = "NotEnoughPoints"
    HYPERPARAMETER_EDGE = "HyperparameterEdge"
    EDGE_OPTIMUM = "EdgeOptimum"
    FAR_EXTRAPOLATION = "FarExtrapolation"
    METHODS_DISAGREE = "MethodsDisagree"
    NOISE_TOO_HIGH = "NoiseTooHigh"
    TARGET_UNANSWERED = "TargetUnanswered"
    INTERNAL_ERROR = "InternalError"


FIT_CONDITIONS = (
    ConditionType.FIT_READY,
    ConditionType.INVALID_POINTS,
    ConditionType.NOT_ENOUGH_POINTS,
    ConditionType.HYPERPARAMETER_EDGE,
    ConditionType.EDGE_OPTIMUM,
    ConditionType.FAR_EXTRAPOLATION,
    ConditionType.METHODS_DISAGREE,
    ConditionType.NOISE_TOO_HIGH,
    ConditionType.TARGET_UNANSWERED,
)
"""Conditions of a ladder's fit. FitReady is always there, the others where they hold."""


class ConditionReason(StrEnum):
    """Reasons of an experiment's conditions."""

    VALID_SPEC = "ValidSpec"
    INVALID_SPEC = "InvalidSpec"
    SEARCH_TOO_COSTLY = "SearchTooCostly"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    ALL_TRIALS_DONE = "AllTrialsDone"
    SPACE_EXHAUSTED = "SpaceExhausted"
    GOAL_REACHED = "GoalReached"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    TRIALS_REMAIN = "TrialsRemain"
    TOO_MANY_FAILURES = "TooManyFailures"
    DATA_ERROR = "DataError"
    NO_TRIAL_SUCCEEDED = "NoTrialSucceeded"
    WITHIN_LIMITS = "WithinLimits"
    MODEL_SAVED = "ModelSaved"
    EXPORT_FAILED = "ExportFailed"
    PLANNED = "Planned"
    FIXED_RESOURCES = "FixedResources"
    POLICY_NOT_FOUND = "PolicyNotFound"
    POLICY_INVALID = "PolicyInvalid"
    POLICY_NOT_ALLOWED = "PolicyNotAllowed"
    NOTHING_FITS = "NothingFits"
    ABOVE_LIMITS = "AboveLimits"
    OVER_BUDGET = "OverBudget"
    VALID_POLICY = "ValidPolicy"
    SHAPES_OFFERED = "ShapesOffered"
    SHAPE_NOT_OFFERED = "ShapeNotOffered"
    INTERNAL_ERROR = "InternalError"


def is_experiment_name(name: str) -> bool:
    """Whether a ScalingExperiment on a cluster can have this name."""
    return len(name) <= EXPERIMENT_NAME_LENGTH and bool(re.fullmatch(EXPERIMENT_NAME_PATTERN, name))


def is_object_name(name: str) -> bool:
    """Whether an object of Kubernetes can have this name."""
    return len(name) <= OBJECT_NAME_LENGTH and bool(re.fullmatch(OBJECT_NAME_PATTERN, name))


def is_namespace(name: str) -> bool:
    """Whether a namespace can have this name."""
    return len(name) <= DNS_LABEL_LENGTH and bool(re.fullmatch(DNS_LABEL_PATTERN, name))


TrialKey = tuple[int, int]
"""Scale and number of a trial: the key of a trial within its experiment."""


def trial_id(scale: int, number: int) -> str:
    """Name of a trial within its experiment."""
    return f"{scale}-{number}"


def trial_name(experiment: str, scale: int, number: int) -> str:
    """Name of a ScalingTrial; numbers, so that two experiments can never make the same name."""
    return f"{experiment}-{trial_id(scale, number)}"


def finisher_name(experiment: str) -> str:
    """Name of the pod that saves the best trial's model."""
    return f"{experiment}-finish"


def attempt_name(experiment: str, scale: int, number: int, attempt: int) -> str:
    """Name of an attempt's workload: at most 62 characters."""
    return f"{trial_name(experiment, scale, number)}-{attempt}"
