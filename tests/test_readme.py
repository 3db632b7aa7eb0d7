from __future__ import annotations

from tests.readme import README, written


def test_the_tables_of_the_readme_are_what_the_code_says() -> None:
    text = README.read_text()
    assert text == written(text), "run `make docs`"
