"""The table of metric families: one entry holds the name, the type, the help, the labels and the samples' source.

The identity labels (`property_sid`, and `trunk_sid` for a trunk's family) are not named in the entries: `rows`
adds them to every sample, in one place. A sample is a pair: the values of the family's own labels, and the number.
What is not known gives no sample.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, Literal

import msgspec

from exporter.history.changes import Kind
from exporter.model import KINDS, PROVISIONING_STATES, UNKNOWN, UNREADABLE, Trunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from exporter.model import PropertyView, Shown

Sample = tuple[tuple[str, ...], float]
Samples = tuple[Sample, ...]
MetricType = Literal["gauge", "counter", "histogram"]

INFO_LABELS = ("name", "trunk_type", "customer_reference", "external_reference", "default_caller_id")


class Described(msgspec.Struct, frozen=True):
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


class TrunkFamily(Described, frozen=True):
    """A family with samples for each trunk, made from the trunk, for a `value` also from the Unix time.

    It has one source: a `field` that holds the number unless it is one of `unset`; a `value`, None where it is not
    known; a `choice` of one of `choices`, None where there is no sample; `texts`, the values of its labels where the
    number is always 1; or `since`, which the view has beside them.
    """

    identity: ClassVar[tuple[str, ...]] = ("property_sid", "trunk_sid")

    field: str = ""
    unset: frozenset[int | None] = frozenset((None,))
    value: Callable[[Trunk, float], int | None] | None = None
    choice: Callable[[Trunk], int | None] | None = None
    choices: Mapping[int | None, Samples] = msgspec.field(default_factory=dict)
    texts: tuple[Callable[[Trunk], str | None], ...] = ()
    since: bool = False

    def samples(self, trunk: Trunk, now: float) -> Samples:
        """Give a trunk's samples from all sources but `since`."""
        if self.field:
            number = getattr(trunk, self.field)
            return _only(None if number in self.unset else number)
        if self.value:
            return _only(self.value(trunk, now))
        if self.choice:
            return self.choices.get(self.choice(trunk), ())
        return ((tuple([text(trunk) or "" for text in self.texts]), 1),)

    def rows(self, view: PropertyView) -> Iterator[Sample]:
        """Yield the property's samples, the values in the order of `label_names`."""
        if self.since:
            for trunk, since in zip(view.trunks or (), view.since, strict=False):
                if since > 0:
                    yield (view.identity.sid, trunk.sid), since
            return
        for trunk in view.trunks or ():
            for values, number in self.samples(trunk, view.now):
                yield (view.identity.sid, trunk.sid, *values), number


class PropertyFamily(Described, frozen=True):
    """A family with samples for each property, made from what is shown of it: a `value`, or labelled `samples`."""

    identity: ClassVar[tuple[str, ...]] = ("property_sid",)

    value: Callable[[Shown], float | None] | None = None
    samples: Callable[[Shown], Samples] = lambda _shown: ()

    def rows(self, view: PropertyView) -> Iterator[Sample]:
        """Yield the property's samples, the values in the order of `label_names`."""
        shown = view.shown
        for values, number in _only(self.value(shown)) if self.value else self.samples(shown):
            yield (view.identity.sid, *values), number


Family = TrunkFamily | PropertyFamily


def _only(value: float | None) -> Samples:
    return () if value is None else (((), value),)


_STATE_SAMPLES: Mapping[int | None, Samples] = {
    code: (
        *(((state,), int(state == actual)) for state in PROVISIONING_STATES.values()),
        *([((UNKNOWN,), 1)] if actual == UNKNOWN else ()),
    )
    for code, actual in {**PROVISIONING_STATES, UNREADABLE: UNKNOWN}.items()
}


# 0 is how some servers write "not set"; as a time it would be 1970.
_NO_TIME = frozenset((None, 0, UNREADABLE))


def trunk_families(info_labels: tuple[str, ...] = INFO_LABELS) -> tuple[TrunkFamily, ...]:
    """Give the families with a series for each trunk; `siptrunk_info` carries `info_labels`."""
    return (
        TrunkFamily(
            "siptrunk_info",
            "gauge",
            "Descriptive fields of the trunk, always 1.",
            info_labels,
            texts=tuple(map(attrgetter, info_labels)),
        ),
        TrunkFamily(
            "siptrunk_channel_limit",
            "gauge",
            "Most channels that the trunk may use at once.",
            field="channel_limit",
        ),
        TrunkFamily(
            "siptrunk_active",
            "gauge",
            "Whether the trunk is not deactivated: its EndDate is not set, or lies ahead.",
            value=Trunk.active,
        ),
        TrunkFamily(
            "siptrunk_provisioning_state",
            "gauge",
            "Where the carrier's provisioning stands: exactly one state is 1.",
            ("state",),
            choice=attrgetter("provisioning_state"),
            choices=_STATE_SAMPLES,
        ),
        TrunkFamily(
            "siptrunk_provisioning_state_since_timestamp_seconds",
            "gauge",
            "Unix time at which the present provisioning state was first seen; for a trunk not seen before, at which it"
            " was last modified: the state may be older; it is younger only where it ended and began anew between two"
            " lists, as while the exporter was down.",
            since=True,
        ),
        TrunkFamily(
            "siptrunk_created_timestamp_seconds",
            "gauge",
            "Unix time at which the trunk was created.",
            field="created",
            unset=_NO_TIME,
        ),
        TrunkFamily(
            "siptrunk_modified_timestamp_seconds",
            "gauge",
            "Unix time at which the trunk was last modified.",
            field="modified",
            unset=_NO_TIME,
        ),
        TrunkFamily(
            "siptrunk_end_timestamp_seconds",
            "gauge",
            "Unix time at which the trunk was, or will be, deactivated; absent where none is set.",
            field="end_date",
            unset=_NO_TIME,
        ),
    )


_CHANGES = tuple(kind.value for kind in Kind)
_KINDS = tuple((kind, UNKNOWN not in kind) for kind in KINDS)


def _property_trunks(shown: Shown) -> Samples:
    if shown.summary is None:
        return ()
    # Every documented pair is always there.
    counted = zip(_KINDS, shown.summary.counts, strict=True)
    return tuple([(kind, count) for (kind, documented), count in counted if documented or count])


def _property_info(shown: Shown) -> Samples:
    return (((shown.identity.name, shown.identity.account_sid), 1),)


def _poll_failures(shown: Shown) -> Samples:
    return tuple([((str(reason),), count) for reason, count in shown.health.failures.items()])


def _changes(shown: Shown) -> Samples:
    return tuple([((kind,), count) for kind, count in zip(_CHANGES, shown.changes, strict=True)])


def _failing(shown: Shown) -> Samples:
    return (((shown.health.reason,), 1),) if shown.health.reason else ()


class Layer(msgspec.Struct, frozen=True):
    """Families of properties that change together: when what `follows` gives of a property is another."""

    follows: Callable[[Shown], object]
    families: tuple[PropertyFamily, ...]


LAYERS: tuple[Layer, ...] = (
    Layer(
        attrgetter("summary"),
        (
            PropertyFamily(
                "siptrunk_property_trunks",
                "gauge",
                "Trunks of the property by type and provisioning state.",
                ("trunk_type", "state"),
                samples=_property_trunks,
            ),
            PropertyFamily(
                "siptrunk_property_active_trunks",
                "gauge",
                "Trunks of the property whose siptrunk_active is 1.",
                value=lambda shown: shown.summary.active_trunks if shown.summary else None,
            ),
            PropertyFamily(
                "siptrunk_property_active_channel_limit",
                "gauge",
                "Sum of the channel limits of the active trunks; absent where one of them is not known.",
                value=lambda shown: shown.summary.active_channel_limit if shown.summary else None,
            ),
        ),
    ),
    Layer(
        attrgetter("drift"),
        (
            PropertyFamily(
                "siptrunk_drift",
                "gauge",
                "Whether a trunk differs from what is expected of it, for each expectation; missing: it is not there;"
                " unexpected: it should not be. Absent where the value is not known, or no data are served.",
                ("trunk_sid", "field"),
                samples=attrgetter("drift"),
            ),
        ),
    ),
    Layer(
        attrgetter("changes"),
        (
            PropertyFamily(
                "siptrunk_changes_total",
                "counter",
                "Changes of the property's trunks that were seen between two complete lists, by kind.",
                ("kind",),
                samples=_changes,
            ),
        ),
    ),
    Layer(
        attrgetter("identity"),
        (
            PropertyFamily(
                "siptrunk_property_info",
                "gauge",
                "The property's name and account, always 1.",
                ("name", "account_sid"),
                samples=_property_info,
            ),
        ),
    ),
    Layer(
        attrgetter("standing"),
        (
            PropertyFamily(
                "siptrunk_property_up",
                "gauge",
                "Whether the last poll of the property brought a complete list; absent before the first has ended.",
                value=lambda shown: shown.health.up,
            ),
            PropertyFamily(
                "siptrunk_property_stale",
                "gauge",
                "Whether the data served are older than the last poll: they stay until stale_after has passed.",
                value=lambda shown: shown.stale,
            ),
            PropertyFamily(
                "siptrunk_property_failing",
                "gauge",
                "Always 1, for the reason why the last poll of the property failed; absent where it did not.",
                ("reason",),
                samples=_failing,
            ),
            PropertyFamily(
                "siptrunk_property_poll_failures_total",
                "counter",
                "Polls of the property that failed, by reason.",
                ("reason",),
                samples=_poll_failures,
            ),
        ),
    ),
    Layer(
        attrgetter("health"),
        (
            PropertyFamily(
                "siptrunk_property_last_poll_timestamp_seconds",
                "gauge",
                "Unix time at which the last poll of the property ended.",
                value=lambda shown: shown.health.last_poll,
            ),
            PropertyFamily(
                "siptrunk_property_last_success_timestamp_seconds",
                "gauge",
                "Unix time at which the last poll that brought a complete list ended.",
                value=lambda shown: shown.health.last_success,
            ),
            PropertyFamily(
                "siptrunk_property_last_poll_duration_seconds",
                "gauge",
                "Seconds that the last poll of the property took, waiting for the request budget included.",
                value=lambda shown: shown.health.last_duration,
            ),
            PropertyFamily(
                "siptrunk_property_polls_total",
                "counter",
                "Polls of the property that have ended.",
                value=lambda shown: shown.health.polls,
            ),
        ),
    ),
)

FAMILIES: tuple[Family, ...] = (*trunk_families(), *(family for layer in LAYERS for family in layer.families))
