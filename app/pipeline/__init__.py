"""The steps. Each is a plain function whose arguments are what it needs; none waits, each ends in one ledger transition."""
