"""The holders of the registry's lease: how the Lease object lists them, and which of them live.

A Lease by itself has room for one holder, so an annotation lists them. Entries are written by several versions of this
program, so fields that this version does not know are read, and written back as they are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.lease.errors import LeaseUnreadableError
from kube_registry.names import REGISTRY, labels

DURATION_SECONDS = 30.0
"""A holder whose entry has not changed for that long is dead."""

_HOLDERS = "kube-registry/holders"
_SHOWN = 200
"""Letters of an annotation that an error repeats."""


@dataclass(frozen=True)
class Holder:
    """An entry of the lease.

    Args:
        who: user, machine and what they do, for people.
        alone: whether it shares the registry with nobody.
        renewed: when it was last renewed, by the holder's own clock: ISO 8601 with a time zone.
        more: fields that another version has written.
    """

    who: str
    alone: bool
    renewed: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def bars(self, other: "Holder") -> bool:
        """Whether one of the two has to wait for the other's end."""
        return self.alone or other.alone

    @property
    def renewed_at(self) -> datetime:
        """The time of the last renewal."""
        return datetime.fromisoformat(self.renewed)


Holders = Mapping[str, Holder]
"""Those that hold a lease, by an id of their own."""


@dataclass
class Observer:
    """Which holders are alive, judged by one observer that looks again and again.

    Only the observer's clock counts: clocks of different machines are never compared (as client-go's leader election).
    """

    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def alive(self, holders: Holders, now: float) -> dict[str, Holder]:
        """Return the holders whose entries have changed within DURATION_SECONDS, or were not seen for that long yet.

        Args:
            holders: as the lease has them now.
            now: seconds of a clock that only goes on.
        """
        self._seen = {
            key: seen if (seen := self._seen.get(key)) and seen[0] == holder.renewed else (holder.renewed, now)
            for key, holder in holders.items()
        }
        return {key: holder for key, holder in holders.items() if now - self._seen[key][1] < DURATION_SECONDS}


def read_holders(lease: Mapping[str, Any] | None, where: Where) -> Holders:
    """Read the entries of a Lease object; there are none without an object.

    Raises:
        LeaseUnreadableError: something else than this program has written them.
    """
    text = ((lease or {}).get("metadata", {}).get("annotations") or {}).get(_HOLDERS, "{}")
    try:
        return {key: _holder(dict(entry)) for key, entry in read_json(text).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LeaseUnreadableError(
            where=where, reason=f"annotation {_HOLDERS} lists no holders: {text[:_SHOWN]!r}"
        ) from error


def lease_object(holders: Holders, found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the Lease object with these holders; its spec is for people who look at it with kubectl.

    Args:
        holders: all of them.
        found: the object as it is, of which all else is kept; None if there is none.
    """
    entries = json.dumps({key: _entry(holder) for key, holder in holders.items()}, indent=1)
    metadata = (found or {}).get("metadata", {"name": REGISTRY, "labels": labels("lease")})
    spec: dict[str, Any] = {"leaseDurationSeconds": int(DURATION_SECONDS), "renewTime": timestamp()}
    if holders:
        spec["holderIdentity"] = ", ".join(sorted(holder.who for holder in holders.values()))
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), _HOLDERS: entries}},
        "spec": spec,
    }


def seconds_until_known(stored: Mapping[str, Any]) -> float:
    """Return how long a Lease object may still lack the entry of a holder that lives; 0 once it cannot.

    If the object was deleted, holders that live find out when they renew, and the dead stop: within DURATION_SECONDS of
    the new object's creation. Both times are the API server's own: it writes the time of a change into managedFields
    (apiserver pkg/endpoints/handlers/fieldmanager).

    Args:
        stored: the object, as the API server has answered the write of it.
    """
    metadata = stored["metadata"]
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    written = max((datetime.fromisoformat(each["time"]) for each in metadata.get("managedFields", ())), default=created)
    return max(0.0, DURATION_SECONDS - (written - created).total_seconds())


def timestamp() -> str:
    """Return the time as Kubernetes' MicroTime."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _holder(entry: dict[str, Any]) -> Holder:
    holder = Holder(str(entry.pop("who")), bool(entry.pop("alone")), str(entry.pop("renewed")), entry)
    if holder.renewed_at.tzinfo is None:
        raise ValueError("a time without a time zone")
    return holder


def _entry(holder: Holder) -> dict[str, Any]:
    return {**holder.more, "who": holder.who, "alone": holder.alone, "renewed": holder.renewed}
