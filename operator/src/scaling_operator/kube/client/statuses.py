"""Status of an object, written to the one that was seen: never to another one of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scaling_operator.kube.client.client import Client, Object
from scaling_operator.kube.client.errors import ClusterBusy, Conflict, NotFound
from scaling_operator.kube.client.kinds import Kind

TRIES = 5


def _never(stored: Object) -> bool:
    del stored
    return False


async def write_status(
    client: Client,
    kind: Kind,
    known: Object,
    status: dict[str, Any],
    stays: Callable[[Object], bool] = _never,
) -> Object:
    """Write a status whole, and return what is stored then.

    `known` is the object as it was seen last; of it the metadata alone are read. Where it has
    changed since it is read again, and left as it is where `stays` says so. Raises NotFound where
    it is gone, also where another one has its name now.
    """
    metadata = known["metadata"]
    namespace, name = metadata.get("namespace"), str(metadata["name"])
    version = metadata["resourceVersion"]
    for _ in range(TRIES):
        body: Object = {"metadata": {"resourceVersion": version}, "status": status}
        try:
            return await client.apply_status(kind, namespace, name, body)
        except Conflict:
            stored = await client.get(kind, namespace, name)
        if stored["metadata"]["uid"] != metadata["uid"]:
            message = f"{kind.plural} {name} is another one now"
            raise NotFound(message)
        if stays(stored):
            return stored
        version = stored["metadata"]["resourceVersion"]
    message = f"{name} changes faster than it can be written"
    raise ClusterBusy(message)
