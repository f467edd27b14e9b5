"""Words of the kubelet, the scheduler and the controllers, and which of our reasons each means.

https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
"""

from __future__ import annotations

from collections.abc import Mapping

from scaling_operator.api.names import Reason

# Why a container waits. A pull may be tried again, what the kubelet refuses outright is not.
PULL_REFUSED = frozenset({"InvalidImageName", "ErrImageNeverPull"})
PULL_FAILING = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
CONFIG_FAILING = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "RunContainerError",
    }
)

# Why a container ended, where its program never ran: no such command, no such working folder.
NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun"})

# Why a pod ended, in `status.reason`.
OF_PODS: Mapping[str, Reason] = {
    "Evicted": Reason.EVICTED,
    "Preempting": Reason.PREEMPTED,
    "NodeLost": Reason.NODE_LOST,
    "NodeShutdown": Reason.NODE_LOST,
    "Shutdown": Reason.NODE_LOST,
    "Terminated": Reason.NODE_LOST,
}
DEADLINE_EXCEEDED = "DeadlineExceeded"

# Why a pod is about to be ended, in the condition DisruptionTarget. A taint that evicts is nearly
# always that of a node which does not answer any more.
OF_DISRUPTIONS: Mapping[str, Reason] = {
    "PreemptionByScheduler": Reason.PREEMPTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "DeletionByPodGC": Reason.NODE_LOST,
    "TerminationByKubelet": Reason.EVICTED,
}

ACCELERATOR_OOM_WORDS = ("CUDA out of memory", "OutOfMemoryError")
