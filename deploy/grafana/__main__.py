"""Writes the dashboards' JSON files."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.exporter import exporter
from deploy.grafana.overview import overview
from deploy.grafana.property import one_property

FOLDER = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """Give the JSON by file name."""
    made = {"overview": overview(), "property": one_property(), "exporter": exporter()}
    return {
        f"{name}.json": json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, dashboard in made.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text)
