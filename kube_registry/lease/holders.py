"""The holders of the registry's lease: their entries in the Lease object, and which of them are alive.

A Lease has room for one holder only, so an annotation lists them. Different versions of this program write entries, so
unknown fields are kept and written back unchanged.
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
"""After this time without a change of its entry, a holder counts as dead."""

_HOLDERS = "kube-registry/holders"
_SHOWN = 200
"""Characters of an annotation that an error quotes."""


@dataclass(frozen=True)
class Holder:
    """An entry of the lease.

    Args:
        who: user, machine and what they do, for people.
        alone: whether it needs the registry exclusively.
        renewed: time of the last renewal, by the holder's own clock: ISO 8601 with a time zone.
        more: fields that another version has written.
    """

    who: str
    alone: bool
    renewed: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def excludes(self, other: "Holder") -> bool:
        """Return whether the two exclude each other, so that one has to wait."""
        return self.alone or other.alone

    @property
    def renewed_at(self) -> datetime:
        """The time of the last renewal."""
        return datetime.fromisoformat(self.renewed)


Holders = Mapping[str, Holder]
"""The holders of a lease by their ids."""


@dataclass
class Observer:
    """Decides which holders are alive, from repeated observations of their entries.

    Only the observer's clock counts: clocks of different machines are never compared, as in client-go's leader
    election.
    """

    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def alive(self, holders: Holders, now: float) -> dict[str, Holder]:
        """Return the holders whose entries changed, or were first seen, within the last DURATION_SECONDS.

        Args:
            holders: the current entries of the lease.
            now: seconds of a monotonic clock.
        """
        self._seen = {
            key: seen if (seen := self._seen.get(key)) and seen[0] == holder.renewed else (holder.renewed, now)
            for key, holder in holders.items()
        }
        return {key: holder for key, holder in holders.items() if now - self._seen[key][1] < DURATION_SECONDS}


def read_holders(lease: Mapping[str, Any] | None, where: Where) -> Holders:
    """Return the entries of a Lease object; none if it does not exist.

    Raises:
        LeaseUnreadableError: the entries were not written by this program.
    """
    text = ((lease or {}).get("metadata", {}).get("annotations") or {}).get(_HOLDERS, "{}")
    try:
        return {key: _holder(dict(entry)) for key, entry in read_json(text).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LeaseUnreadableError(
            where=where, reason=f"annotation {_HOLDERS} is not a list of holders: {text[:_SHOWN]!r}"
        ) from error


def lease_object(holders: Holders, found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the Lease object with these holders; its spec is for people who read it with kubectl.

    Args:
        holders: all holders.
        found: the current object, whose other metadata is kept; None if it does not exist.
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
    """Return for how many seconds a live holder's entry may still be missing from a new Lease object.

    If the object was deleted, live holders notice when they renew, and dead ones stop, within DURATION_SECONDS of the
    new object's creation. Both times are the API server's: it records the time of a change in managedFields (apiserver
    pkg/endpoints/handlers/fieldmanager).

    Args:
        stored: the object in the API server's response to its write.
    """
    metadata = stored["metadata"]
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    written = max((datetime.fromisoformat(each["time"]) for each in metadata.get("managedFields", ())), default=created)
    return max(0.0, DURATION_SECONDS - (written - created).total_seconds())


def timestamp() -> str:
    """Return the current time as Kubernetes' MicroTime."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _holder(entry: dict[str, Any]) -> Holder:
    holder = Holder(str(entry.pop("who")), bool(entry.pop("alone")), str(entry.pop("renewed")), entry)
    if holder.renewed_at.tzinfo is None:
        raise ValueError("the time has no time zone")
    return holder


def _entry(holder: Holder) -> dict[str, Any]:
    return {**holder.more, "who": holder.who, "alone": holder.alone, "renewed": holder.renewed}
