import pytest

from tests.benchmarks.figures import Row, number, pairs_ratio, percentile, worst_growth


def test_figures_are_taken_as_their_names_say() -> None:
    assert pairs_ratio([(2, 1), (90, 30), (50, 10)]) == 3
    assert [percentile(range(1, 1001), 0.99), percentile([7], 0.99)] == [990, 7]
    assert [worst_growth([2, 1, 1.5]), worst_growth([4, 2, 1])] == [1.5, 0.5]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.0123456, "0.0123"), (1.5, "1.5"), (12345.6, "12,346")])
def test_numbers_have_three_digits_at_least(value: float, text: str) -> None:
    assert number(value) == text


def test_a_row_says_plainly_what_does_not_hold_and_what_was_not_measured() -> None:
    assert Row("s", "f", 1.7, 1.5, "ms", detail="why").cells() == ("f", "1.7 ms (why)", "≤ 1.5 ms", "**no**")
    assert Row("s", "f", 600, 500, at_least=True).cells() == ("f", "600", "≥ 500", "yes")
    assert Row("s", "f", None, 500, detail="no nginx").cells() == ("f", "not measured: no nginx", "≤ 500", "")
