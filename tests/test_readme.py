from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.readme import DEPLOY, PAGES, README, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_what_is_made_from_the_code_is_what_the_page_shows(page: Path) -> None:
    assert page.read_text() == written(page), "run `make docs`"


def test_the_readme_shows_the_scrape_configuration_that_is_shipped() -> None:
    shipped = (DEPLOY / "prometheus" / "prometheus.yml").read_text()

    assert shipped[shipped.index("scrape_configs:") :] in README.read_text()
    assert yaml.safe_load(shipped)["scrape_configs"]
