import pytest

from keystore.engines.body import Body, decode_base64
from keystore.engines.request import RequestError


def _refused(act):
    with pytest.raises(RequestError) as refused:
        act()
    return refused.value.status, str(refused.value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0), (90, 90), ("90", 90), ("90s", 90), ("1h30m", 5400), ("2h", 7200), ("7d", 604800), ("", 5), (None, 5)],
)
def test_durations_are_numbers_or_texts(value, seconds):
    assert Body(fields={"ttl": value}).seconds("ttl", 5) == seconds


@pytest.mark.parametrize("value", ["soon", "1.5h", "h", True, [], "9999999999999999999", "10000000001s", "1d2h"])
def test_other_durations_are_refused(value):
    expected = (400, "Field validation failed: error converting input for field 'ttl': expected duration")
    assert _refused(lambda: Body(fields={"ttl": value}).seconds("ttl")) == expected


@pytest.mark.parametrize(("value", "flag"), [(True, True), ("true", True), ("1", True), (1, True), ("", False)])
def test_flags_may_be_texts(value, flag):
    assert Body(fields={"on": value}).flag("on") is flag


def test_what_is_no_flag_number_text_or_list_is_refused():
    words = {"flag": "bool", "number": "int", "text": "string", "names": "list of strings"}
    for method, word in words.items():
        for value in ({}, [1], 2.5) if method != "text" else ({}, [1], True):
            refused = _refused(lambda method=method, value=value: getattr(Body(fields={"x": value}), method)("x"))
            assert refused == (
                400,
                f"Field validation failed: error converting input for field 'x': expected {word}",
            )


def test_lists_are_arrays_or_texts_with_commas():
    assert Body(fields={"x": "a, b,,c "}).names("x") == ("a", "b", "c")
    assert Body(fields={"x": ["a", "b"]}).names("x") == ("a", "b")
    assert Body(fields={}).names("x", ("d",)) == ("d",)


def test_base64_tells_where_it_is_wrong():
    assert decode_base64("aGk=\r\n") == b"hi"
    assert _refused(lambda: decode_base64("!!")) == (400, "illegal base64 data at input byte 0")
    assert _refused(lambda: decode_base64("aGk")) == (400, "illegal base64 data at input byte 3")
    assert _refused(lambda: decode_base64("aG_=")) == (400, "illegal base64 data at input byte 2")
    assert _refused(lambda: decode_base64("aGk=é")) == (400, "illegal base64 data at input byte 3")


def test_what_was_sent_is_in_no_repr():
    assert repr(Body(fields={"plaintext": "c2VjcmV0"})) == "Body()"
