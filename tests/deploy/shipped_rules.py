"""The rules that deploy/ gives to Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules"
LISTED = [
    rule
    for path in sorted(RULES.glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS: list[dict[str, Any]] = [rule for rule in LISTED if "alert" in rule]
RECORDED = {rule["record"] for rule in LISTED if "record" in rule}
