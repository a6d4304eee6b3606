"""Reelkeep: keeps every video that a developer pays for. `docs/decisions/0001-shape.md` says how it is cut."""
