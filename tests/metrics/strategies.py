"""Trunks and properties with the worst text that a JSON answer can carry."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.errors import Reason
from exporter.model import UNREADABLE, Health, Identity, PropertyView, Trunk
from tests.metrics.builders import NOW, view

_UNICODE = st.characters(exclude_categories=["Cs"])
_HOSTILE = st.sampled_from('"\\\n\r\x00\x85\u2028{}=,# \t')
TEXT = st.text(_HOSTILE | _UNICODE, min_size=1, max_size=12)
TIME = st.integers(1, 253_402_300_799)

TRUNKS = st.builds(
    Trunk,
    sid=TEXT,
    created=st.none() | TIME,
    modified=st.none() | TIME,
    end_date=st.none() | st.just(UNREADABLE) | TIME,
    name=st.none() | TEXT,
    type=st.sampled_from((0, 1, UNREADABLE)),
    channel_limit=st.none() | st.integers(0, 2**53),
    customer_reference=st.none() | TEXT,
    external_reference=st.none() | TEXT,
    default_caller_id=st.none() | TEXT,
    provisioning_state=st.none() | st.sampled_from((0, 1, 2, 3, UNREADABLE)),
)
"""Trunks of which no field says in another way what a different value says too."""

_HEALTH = st.fixed_dictionaries(
    {
        "polls": st.integers(0, 2**53),
        "failures": st.fixed_dictionaries({reason: st.integers(0, 2**53) for reason in Reason}),
        "last_poll": st.none() | st.just(NOW),
        "last_duration": st.none() | st.floats(0, 1e9),
        "last_error": st.none() | TEXT,
        "last_success": st.none() | st.just(NOW),
    }
).map(lambda fields: Health(**fields))  # type: ignore[arg-type]  # each is given what it takes


def views(properties: int = 3, trunks: int = 3) -> st.SearchStrategy[list[PropertyView]]:
    """Give some properties, no two with the same Sid, and no two trunks of one either."""
    lists = st.lists(TRUNKS, max_size=trunks, unique_by=lambda trunk: trunk.sid)
    one = st.builds(
        lambda identity, health, trunks, shown: view(*trunks, identity=identity, health=health, shown=shown),
        st.builds(Identity, sid=TEXT, account_sid=TEXT, name=TEXT),
        _HEALTH,
        lists,
        st.booleans(),
    )
    return st.lists(one, max_size=properties, unique_by=lambda each: each.identity.sid)


def moved(each: PropertyView, seconds: float) -> PropertyView:
    """Give the same property at another time."""
    return replace(each, now=each.now + seconds)
