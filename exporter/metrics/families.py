"""The table of metric families: one entry holds the name, the type, the help, the labels and the samples' source.

The identity labels (`property_sid`, and `trunk_sid` for a trunk's family) are not named in the entries: `rows`
adds them to every sample, in one place. A source yields a pair (values of the entry's own labels, value) a sample;
a value that is not known yields nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from exporter.model import PROVISIONING_STATES, TRUNK_TYPES, UNKNOWN, UNREADABLE, PropertyView, Trunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Sample = tuple[tuple[str, ...], float]
Subject = TypeVar("Subject")
MetricType = Literal["gauge", "counter", "histogram"]

INFO_LABELS = ("name", "trunk_type", "customer_reference", "external_reference", "default_caller_id")


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of any family: the exposed name, the type, the help and the labels of each sample."""

    identity: ClassVar[tuple[str, ...]] = ()

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The identity's labels, then the family's own."""
        return self.identity + self.labels


@dataclass(frozen=True, slots=True)
class TrunkFamily(Described):
    """A family with samples for each trunk, made from the trunk and the Unix time."""

    identity: ClassVar[tuple[str, ...]] = ("property_sid", "trunk_sid")

    samples: Callable[[Trunk, float], Iterator[Sample]] = lambda _trunk, _now: iter(())

    def rows(self, view: PropertyView) -> Iterator[Sample]:
        """Yield the property's samples, the values in the order of `label_names`."""
        sid, now = view.identity.sid, view.now
        for trunk in view.trunks or ():
            for values, number in self.samples(trunk, now):
                yield (sid, trunk.sid, *values), number


@dataclass(frozen=True, slots=True)
class PropertyFamily(Described):
    """A family with samples for each property, made from what is shown of it and the Unix time."""

    identity: ClassVar[tuple[str, ...]] = ("property_sid",)

    samples: Callable[[PropertyView, float], Iterator[Sample]] = lambda _view, _now: iter(())

    def rows(self, view: PropertyView) -> Iterator[Sample]:
        """Yield the property's samples, the values in the order of `label_names`."""
        for values, number in self.samples(view, view.now):
            yield (view.identity.sid, *values), number


Family = TrunkFamily | PropertyFamily


def _value(read: Callable[[Subject, float], float | None]) -> Callable[[Subject, float], Iterator[Sample]]:
    """Make the source of a family without labels of its own: at most one sample, none where `read` gives None."""

    def samples(subject: Subject, now: float) -> Iterator[Sample]:
        value = read(subject, now)
        if value is not None:
            yield (), value

    return samples


def _info(labels: tuple[str, ...]) -> Callable[[Trunk, float], Iterator[Sample]]:
    def samples(trunk: Trunk, _now: float) -> Iterator[Sample]:
        yield tuple(getattr(trunk, label) or "" for label in labels), 1

    return samples


def _provisioning_state(trunk: Trunk, _now: float) -> Iterator[Sample]:
    if trunk.provisioning_state is None:
        return
    actual = trunk.state
    for state in PROVISIONING_STATES.values():
        yield (state,), state == actual
    if actual == UNKNOWN:
        yield (UNKNOWN,), 1


def _end(trunk: Trunk, _now: float) -> float | None:
    # 0 is how some servers write "not set"; as a time it would be 1970.
    return None if trunk.end_date in (0, UNREADABLE) else trunk.end_date


def trunk_families(info_labels: tuple[str, ...] = INFO_LABELS) -> tuple[TrunkFamily, ...]:
    """Give the families with a series for each trunk; `siptrunk_info` carries `info_labels`."""
    return (
        TrunkFamily(
            "siptrunk_info",
            "gauge",
            "Descriptive fields of the trunk, always 1.",
            info_labels,
            _info(info_labels),
        ),
        TrunkFamily(
            "siptrunk_channel_limit",
            "gauge",
            "Most channels that the trunk may use at once.",
            samples=_value(lambda trunk, _now: trunk.channel_limit),
        ),
        TrunkFamily(
            "siptrunk_active",
            "gauge",
            "Whether the trunk is not deactivated: its EndDate is not set, or lies ahead.",
            samples=_value(lambda trunk, now: trunk.active(now)),
        ),
        TrunkFamily(
            "siptrunk_provisioning_state",
            "gauge",
            "Where the carrier's provisioning stands: exactly one state is 1.",
            ("state",),
            _provisioning_state,
        ),
        TrunkFamily(
            "siptrunk_created_timestamp_seconds",
            "gauge",
            "Unix time at which the trunk was created.",
            samples=_value(lambda trunk, _now: trunk.created or None),
        ),
        TrunkFamily(
            "siptrunk_modified_timestamp_seconds",
            "gauge",
            "Unix time at which the trunk was last modified.",
            samples=_value(lambda trunk, _now: trunk.modified or None),
        ),
        TrunkFamily(
            "siptrunk_end_timestamp_seconds",
            "gauge",
            "Unix time at which the trunk was, or will be, deactivated; absent where none is set.",
            samples=_value(_end),
        ),
    )


def _property_trunks(view: PropertyView, _now: float) -> Iterator[Sample]:
    trunks = view.trunks
    if trunks is None:
        return
    counts = Counter((trunk.trunk_type, trunk.state) for trunk in trunks)
    documented = list(product(TRUNK_TYPES.values(), PROVISIONING_STATES.values()))
    for pair in documented:
        yield pair, counts[pair]
    for pair in sorted(counts.keys() - set(documented)):
        yield pair, counts[pair]


PROPERTY_DATA_FAMILIES: tuple[PropertyFamily, ...] = (
    PropertyFamily(
        "siptrunk_property_trunks",
        "gauge",
        "Trunks of the property by type and provisioning state.",
        ("trunk_type", "state"),
        _property_trunks,
    ),
    PropertyFamily(
        "siptrunk_property_active_trunks",
        "gauge",
        "Trunks of the property whose siptrunk_active is 1.",
        samples=_value(lambda view, _now: view.active_trunks()),
    ),
    PropertyFamily(
        "siptrunk_property_active_channel_limit",
        "gauge",
        "Sum of the channel limits of the active trunks; absent where one of them is not known.",
        samples=_value(lambda view, _now: view.active_channel_limit()),
    ),
)


def _property_info(view: PropertyView, _now: float) -> Iterator[Sample]:
    yield (view.identity.name, view.identity.account_sid), 1


def _poll_failures(view: PropertyView, _now: float) -> Iterator[Sample]:
    for reason, count in view.health.failures.items():
        yield (reason.value,), count


PROPERTY_HEALTH_FAMILIES: tuple[PropertyFamily, ...] = (
    PropertyFamily(
        "siptrunk_property_info",
        "gauge",
        "The property's name and account, always 1.",
        ("name", "account_sid"),
        _property_info,
    ),
    PropertyFamily(
        "siptrunk_property_up",
        "gauge",
        "Whether the last poll of the property brought a complete list; absent before the first has ended.",
        samples=_value(lambda view, _now: view.health.up),
    ),
    PropertyFamily(
        "siptrunk_property_stale",
        "gauge",
        "Whether the data served are older than the last poll: they stay until stale_after has passed.",
        samples=_value(lambda view, _now: view.stale),
    ),
    PropertyFamily(
        "siptrunk_property_last_poll_timestamp_seconds",
        "gauge",
        "Unix time at which the last poll of the property ended.",
        samples=_value(lambda view, _now: view.health.last_poll),
    ),
    PropertyFamily(
        "siptrunk_property_last_success_timestamp_seconds",
        "gauge",
        "Unix time at which the last poll that brought a complete list ended.",
        samples=_value(lambda view, _now: view.health.last_success),
    ),
    PropertyFamily(
        "siptrunk_property_last_poll_duration_seconds",
        "gauge",
        "Seconds that the last poll of the property took, waiting for the request budget included.",
        samples=_value(lambda view, _now: view.health.last_duration),
    ),
    PropertyFamily(
        "siptrunk_property_polls_total",
        "counter",
        "Polls of the property that have ended.",
        samples=_value(lambda view, _now: view.health.polls),
    ),
    PropertyFamily(
        "siptrunk_property_poll_failures_total",
        "counter",
        "Polls of the property that failed, by reason.",
        ("reason",),
        _poll_failures,
    ),
)

FAMILIES: tuple[Family, ...] = (*trunk_families(), *PROPERTY_DATA_FAMILIES, *PROPERTY_HEALTH_FAMILIES)
