"""Whatever the API answers is read for what it is worth, and nothing of it breaks the reader."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.api.payload import MAX_PAGE, PROJECTS, TRUNKS, Page, error_message
from exporter.errors import Anomaly, PollError, Reason
from exporter.model import UNREADABLE, Project, Trunk

DOCUMENTED: dict[str, Any] = {
    "SipTrunkSid": "ST1",
    "Created": 1_400_000_000,
    "Modified": 1_500_000_000,
    "EndDate": 1_600_000_000,
    "Name": "Sydney, Hafenstraße",
    "Type": 1,
    "ChannelLimit": 30,
    "CustomerReference": "CR-1",
    "ExternalReference": "NBN1",
    "DefaultCallerId": "+61280000000",
    "ProvisioningState": 2,
}
TRUNK = Trunk(
    sid="ST1",
    created=1_400_000_000,
    modified=1_500_000_000,
    end_date=1_600_000_000,
    name="Sydney, Hafenstraße",
    type=1,
    channel_limit=30,
    customer_reference="CR-1",
    external_reference="NBN1",
    default_caller_id="+61280000000",
    provisioning_state=2,
)
BARE = Trunk(sid="T")
BOM = b"\xef\xbb\xbf"


def encode(answer: object) -> bytes:
    return json.dumps(answer).encode()


def only(**fields: object) -> bytes:
    return encode([{"SipTrunkSid": "T", **fields}])


def in_field(field: str, literal: bytes) -> bytes:
    return b'[{"SipTrunkSid":"T","%b":%b}]' % (field.encode(), literal)


@pytest.mark.parametrize(
    ("body", "page"),
    [
        (encode([DOCUMENTED]), Page((TRUNK,), None)),
        (encode({"SipTrunks": [DOCUMENTED]}), Page((TRUNK,), None)),
        (encode({"SipTrunks": [DOCUMENTED], "TotalCount": 7, "NextPageToken": "x"}), Page((TRUNK,), 7)),
        (encode({"SipTrunks": [DOCUMENTED], "TotalCount": None}), Page((TRUNK,), None)),
        (encode([{**DOCUMENTED, "Codec": {"G711": [1]}}]), Page((TRUNK,), None)),
        (b" [] \r\n", Page((), None)),
        (encode({"SipTrunks": [], "TotalCount": 0}), Page((), 0)),
        (only(), Page((BARE,), None)),
        (encode([dict.fromkeys(DOCUMENTED) | {"SipTrunkSid": "T"}]), Page((BARE,), None)),
        (BOM + encode([DOCUMENTED]), Page((TRUNK,), None)),
    ],
)
def test_an_array_and_an_object_of_trunks_are_read_alike(body: bytes, page: Page[Trunk]) -> None:
    assert TRUNKS.read(body) == page


def test_properties_are_read_from_projects() -> None:
    first = {"AccountSid": "A1", "PropertySid": "S1", "Name": "Sydney", "MainDomain": "d", "TimeZone": "z"}
    body = encode({"Projects": [first, {"PropertySid": "S2"}], "TotalCount": 2, "NextPageToken": ""})
    assert PROJECTS.read(body) == Page((Project(sid="S1", name="Sydney"), Project(sid="S2")), 2)


@pytest.mark.parametrize("end_date", [{}, {"EndDate": None}, {"EndDate": 0}, {"EndDate": 1_700_000_001}])
def test_an_end_date_absent_null_zero_or_ahead_means_live(end_date: dict[str, Any]) -> None:
    assert TRUNKS.read(only(**end_date)).records[0].active(1_700_000_000) is True


@pytest.mark.parametrize(
    "literal",
    [
        b'"30"',
        b"true",
        b"[30]",
        b"{}",
        b"30.5",
        b"-1",
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"9007199254740993",
        b"1" * 5000,
    ],
)
def test_a_count_that_is_none_is_left_out_and_the_rest_of_the_trunk_stays_good(literal: bytes) -> None:
    body = in_field("ChannelLimit", literal).replace(b"}]", b',"Name":"good","Type":0}]')
    assert TRUNKS.read(body) == Page((Trunk(sid="T", name="good", type=0),), None, (Anomaly.WRONG_TYPE,))


@pytest.mark.parametrize(
    ("field", "attribute", "instead"),
    [
        ("Created", "created", None),
        ("Modified", "modified", None),
        ("EndDate", "end_date", UNREADABLE),
        ("Name", "name", None),
        ("Type", "type", None),
        ("ChannelLimit", "channel_limit", None),
        ("CustomerReference", "customer_reference", None),
        ("ExternalReference", "external_reference", None),
        ("DefaultCallerId", "default_caller_id", None),
        ("ProvisioningState", "provisioning_state", None),
    ],
)
@pytest.mark.parametrize("value", [True, [], {}, 1.5])
def test_a_field_of_the_wrong_type_costs_no_other_field(
    field: str, attribute: str, instead: int | None, value: object
) -> None:
    page = TRUNKS.read(encode([DOCUMENTED | {field: value}]))
    expected = {name: getattr(TRUNK, name) for name in TRUNK.__struct_fields__} | {attribute: instead}
    assert page == Page((Trunk(**expected),), None, (Anomaly.WRONG_TYPE,))


@pytest.mark.parametrize("end_date", [-1, 253_402_300_800, 1_700_000_000_000, "2024-01-01"])
def test_a_trunk_with_an_unreadable_end_date_is_neither_active_nor_inactive(end_date: object) -> None:
    page = TRUNKS.read(only(EndDate=end_date))
    assert page.records[0].active(1_700_000_000) is None
    assert page.anomalies == (Anomaly.WRONG_TYPE,)


@pytest.mark.parametrize("code", [4, -1, 2**40, 10**25, 9.0])
def test_a_code_that_is_not_documented_is_unknown(code: float) -> None:
    page = TRUNKS.read(only(Type=code, ProvisioningState=code, ChannelLimit=3))
    assert [(each.trunk_type, each.state, each.channel_limit) for each in page.records] == [("unknown", "unknown", 3)]
    assert page.anomalies == (Anomaly.UNDOCUMENTED_CODE,) * 2


@pytest.mark.parametrize("type_code", [0, 1])
@pytest.mark.parametrize("state_code", [0, 1, 2, 3])
def test_every_documented_code_has_its_name(type_code: int, state_code: int) -> None:
    page = TRUNKS.read(only(Type=type_code, ProvisioningState=state_code))
    types, states = ("ip_to_ip", "authenticated"), ("inactive", "provisioning", "active", "deprovisioning")
    assert (page.records[0].trunk_type, page.records[0].state) == (types[type_code], states[state_code])
    assert page.anomalies == ()


def test_a_whole_number_written_with_a_fraction_is_that_number() -> None:
    body = b'[{"SipTrunkSid":"T","ChannelLimit":30.0,"Type":1.0,"ProvisioningState":2.0,"Created":1.4e9}]'
    trunk = Trunk(sid="T", channel_limit=30, type=1, provisioning_state=2, created=1_400_000_000)
    assert TRUNKS.read(body) == Page((trunk,), None)


@pytest.mark.parametrize(
    ("literal", "name", "anomalies"),
    [
        (b'"\\ud800x"', "\ufffdx", (Anomaly.INVALID_TEXT,)),
        (b'"x\\udfff"', "x\ufffd", (Anomaly.INVALID_TEXT,)),
        (b'"\xff"', "\ufffd", (Anomaly.INVALID_TEXT,)),
        (b'"\\ud83d\\ude00"', "\U0001f600", ()),
        (b'"\\ufffd"', "\ufffd", ()),
        (b'"\xef\xbf\xbd"', "\ufffd", ()),
        (b'"\\u0000\\n"', "\0\n", ()),
    ],
)
def test_text_that_cannot_be_utf_8_is_made_visible(literal: bytes, name: str, anomalies: tuple[Anomaly, ...]) -> None:
    assert TRUNKS.read(in_field("Name", literal)) == Page((Trunk(sid="T", name=name),), None, anomalies)


TEXT_FIELDS = ("Name", "CustomerReference", "ExternalReference", "DefaultCallerId")


@pytest.mark.parametrize("field", TEXT_FIELDS)
@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a" * 64, "a" * 64),
        ("a" * 65, "a" * 61 + "…"),
        ("é" * 32, "é" * 32),
        ("é" * 33, "é" * 30 + "…"),
        ("a" + "\U0001f600" * 16, "a" + "\U0001f600" * 15 + "…"),
        ('"' * 65, '"' * 61 + "…"),
        ('a"\\' * 22, ('a"\\' * 22)[:61] + "…"),
        ("\n" * 65, "\n" * 61 + "…"),
        (" " * 63 + '"' + " ", " " * 61 + "…"),
    ],
)
def test_text_longer_than_the_limit_is_cut_between_characters_and_counted(
    field: str, text: str, cut: str, *, escaped: bool
) -> None:
    body = json.dumps([{"SipTrunkSid": "T", field: text}, {"SipTrunkSid": "U"}], ensure_ascii=escaped).encode()
    page = TRUNKS.read(body, 64)
    names = {
        encoded: name for name, encoded in zip(Trunk.__struct_fields__, Trunk.__struct_encode_fields__, strict=True)
    }
    assert page.records == (Trunk(sid="T", **{names[field]: cut}), Trunk(sid="U"))  # type: ignore[arg-type]  # any text field
    assert page.anomalies == (Anomaly.LABEL_TOO_LONG,) * (cut != text)


def test_text_that_grows_when_it_is_made_visible_is_cut_all_the_same() -> None:
    body = in_field("Name", b'"%b"' % (b"\xff" * 64))
    assert TRUNKS.read(body, 64) == Page(
        (Trunk(sid="T", name="\ufffd" * 20 + "…"),), None, (Anomaly.INVALID_TEXT, Anomaly.LABEL_TOO_LONG)
    )


@pytest.mark.parametrize("sid", ["x" * 65, "é" * 33, '"' * 65])
def test_a_trunk_sid_longer_than_the_limit_is_too_large_for_what_is_cut_identifies_nothing(sid: str) -> None:
    with pytest.raises(PollError, match="Sid is longer than 64 bytes") as caught:
        TRUNKS.read(encode([{"SipTrunkSid": sid}]), 64)
    assert caught.value.reason == Reason.TOO_LARGE


def test_a_property_sid_longer_than_the_limit_costs_no_other_property() -> None:
    page = PROJECTS.read(encode([{"PropertySid": "S" * 100, "Name": "n" * 100}, {"PropertySid": "S1"}]), 64)
    assert [(record.sid, record.name) for record in page.records] == [("S" * 100, "n" * 61 + "…"), ("S1", None)]


def test_invalid_text_is_counted_beside_text_that_was_made_visible_before() -> None:
    body = b'[{"SipTrunkSid":"T","Name":"\xff"},{"SipTrunkSid":"U","Name":"\xef\xbf\xbd"}]'
    assert TRUNKS.read(body).anomalies == (Anomaly.INVALID_TEXT,)


@pytest.mark.parametrize("sid", [b"ST\\ud800", b"ST\xff"])
def test_a_trunk_whose_sid_is_no_text_is_bad_for_two_such_could_not_be_told_apart(sid: bytes) -> None:
    with pytest.raises(PollError, match="SipTrunkSid that is no text") as caught:
        TRUNKS.read(b'[{"SipTrunkSid":"T"},{"SipTrunkSid":"%b"}]' % sid)
    assert caught.value.reason is Reason.BAD_PAYLOAD


@pytest.mark.parametrize("total", [b'"5"', b"-1", b"true", b"[]", b"NaN", b"1.5"])
def test_a_total_count_that_is_none_is_left_out(total: bytes) -> None:
    page = TRUNKS.read(b'{"SipTrunks":[{"SipTrunkSid":"T"}],"TotalCount":%b}' % total)
    assert page == Page((BARE,), None, (Anomaly.WRONG_TYPE,))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"<html></html>", "not JSON"),
        (b'[{"SipTrunkSid":"T"}', "not JSON"),
        (b"[] []", "not JSON"),
        ("[]".encode("utf-16"), "not JSON"),
        (b"null", "not null"),
        (b'"SipTrunks"', "not a str"),
        (b"{}", "no list SipTrunks"),
        (b'{"Projects":[]}', "no list SipTrunks"),
        (b'{"SipTrunks":null}', "no list SipTrunks"),
        (b'{"SipTrunks":{}}', "no list SipTrunks"),
        (b'{"ResponseStatus":{"ErrorCode":"Gone","Message":"Try later"}}', "error: Gone: Try later"),
        (b"[null]", "record 0 of SipTrunks is null"),
        (b'[{"SipTrunkSid":"T"},[]]', "record 1 of SipTrunks is a list"),
        (b'[{"SipTrunkSid":"T"},{"Name":"N"}]', "record 1 of SipTrunks has no SipTrunkSid"),
        (b'[{"SipTrunkSid":""}]', "record 0 of SipTrunks has no SipTrunkSid"),
        (b'[{"SipTrunkSid":null}]', "record 0 of SipTrunks has no SipTrunkSid"),
        (b'[{"SipTrunkSid":7}]', "record 0 of SipTrunks has no SipTrunkSid"),
        (b"[" * 100_000, "nested too deeply"),
        (in_field("X", b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
    ],
)
def test_what_cannot_be_a_whole_list_is_a_bad_payload(body: bytes, says: str) -> None:
    with pytest.raises(PollError, match=says) as caught:
        TRUNKS.read(body)
    assert caught.value.reason == Reason.BAD_PAYLOAD
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"ResponseStatus": {"ErrorCode": "E", "Message": "M"}}, "E: M"),
        ({"ResponseStatus": {"Message": "M"}}, "M"),
        ({"ResponseStatus": {"ErrorCode": 7, "Message": None}}, "7"),
        ({"ResponseStatus": {"ErrorCode": ["E"], "Message": {"M": 1}}}, None),
        ({"ResponseStatus": {}}, None),
        ({"ResponseStatus": "E"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_an_error_body_is_read_for_what_it_says(answer: object, message: str | None) -> None:
    assert error_message(answer) == message


@pytest.mark.parametrize("start", [b"", BOM], ids=["quick", "patient"])
def test_an_error_that_is_nested_just_not_too_deeply_to_be_read_breaks_nothing(start: bytes) -> None:
    for depth in range(900, 1000):
        body = b'{"SipTrunks":[],"ResponseStatus":{"Message":%b%b}}' % (b"[" * depth, b"]" * depth)
        with suppress(PollError):
            assert TRUNKS.read(start + body) == Page((), None)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KEYS = st.sampled_from([*DOCUMENTED, "SipTrunks", "Projects", "TotalCount", "ResponseStatus", "Message"]) | st.text()
ANY_JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=30)
STAMPS = st.none() | st.integers(0, 253_402_300_799)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
RECORDS = st.fixed_dictionaries(
    {"SipTrunkSid": st.text(st.characters(exclude_categories=["Cs"]), min_size=1)},
    optional={
        **dict.fromkeys(("Created", "Modified", "EndDate"), STAMPS),
        **dict.fromkeys(("Name", "CustomerReference", "ExternalReference", "DefaultCallerId"), TEXTS),
        "Type": st.none() | st.integers(0, 1),
        "ChannelLimit": st.none() | st.integers(0, 2**53),
        "ProvisioningState": st.none() | st.integers(0, 3),
    },
)
LISTS = st.lists(RECORDS, max_size=5)
TOTALS = st.none() | st.integers(0, 2**53)
ANSWERS = LISTS | st.builds(lambda items, total: {"SipTrunks": items, "TotalCount": total}, LISTS, TOTALS)


@settings(deadline=None)
@given(body=ANY_JSON.map(encode) | st.lists(ANY_JSON).map(encode) | st.binary())
def test_any_answer_is_a_page_or_a_bad_payload(body: bytes) -> None:
    for reader in (TRUNKS, PROJECTS):
        try:
            page = reader.read(body)
        except PollError as error:
            outcome = error.reason == Reason.BAD_PAYLOAD
        else:
            outcome = all(record.sid for record in page.records)
        assert outcome


LONG_TEXTS = st.text(st.sampled_from('a"\\\n\0é…\U0001f600'), max_size=120)


@settings(deadline=None)
@given(texts=st.lists(LONG_TEXTS, min_size=1, max_size=4), escaped=st.booleans(), spaces=st.integers(0, 100))
def test_no_text_is_longer_than_the_limit_and_the_shorter_ones_are_whole(
    texts: list[str], *, escaped: bool, spaces: int
) -> None:
    answer = [{"SipTrunkSid": f"T{number}", "Name": text} for number, text in enumerate(texts)]
    body = json.dumps(answer, ensure_ascii=escaped, indent=spaces).encode()
    names = [record.name or "" for record in TRUNKS.read(body, 64).records]
    assert all(len(name.encode()) <= 64 for name in names)
    fit = [len(text.encode()) <= 64 for text in texts]
    assert [name == text for name, text in zip(names, texts, strict=True)] == fit


@settings(deadline=None)
@given(answer=ANSWERS, escaped=st.booleans())
def test_the_quick_and_the_patient_way_agree_on_every_documented_answer(answer: object, *, escaped: bool) -> None:
    body = json.dumps(answer, ensure_ascii=escaped).encode()
    assert TRUNKS.read(body) == TRUNKS.read(BOM + body)


@pytest.mark.parametrize("odd", [{}, {"Type": 9}], ids=["documented", "odd"])
@pytest.mark.parametrize("shape", [lambda records: records, lambda records: {"SipTrunks": records}])
def test_a_page_far_larger_than_can_be_asked_for_is_too_large(odd: dict[str, int], shape: Any) -> None:  # noqa: ANN401 - a function
    records = [{"SipTrunkSid": f"T{number}", **odd} for number in range(MAX_PAGE + 1)]
    assert len(TRUNKS.read(encode(shape(records[1:]))).records) == MAX_PAGE
    with pytest.raises(PollError) as caught:
        TRUNKS.read(encode(shape(records)))
    assert caught.value.reason == Reason.TOO_LARGE
