"""What things cost, in credits (veo-api §1): field values, which drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.simulator.records import UpgradeKind

#: By the model's name in generate and in extend. Lite is a guess.
_MODELS: Mapping[str, float] = {
    **{"veo3": 250, "veo3_fast": 60, "veo3_lite": 30},
    **{"quality": 250, "fast": 60, "lite": 30},
}
#: Whether a failed upgrade is paid back is documented nowhere; here it is not.
UPGRADES: Mapping[UpgradeKind, float] = {"1080p": 5, "4k": 120}


def of_generation(params: Mapping[str, Any]) -> float:
    """The model's price, and the upgrade's on top where more than 720p is asked for (a guess)."""
    return _MODELS[params["model"]] + UPGRADES.get(params.get("resolution", "720p"), 0)
