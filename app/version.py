"""Which version of Reelkeep this is."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """As it was installed. Platforms that install the requirements alone, and run the checkout beside them, know of none."""
    try:
        return version("reelkeep")
    except PackageNotFoundError:
        return "unknown"
