"""What is known of the fleet's health."""

from dataclasses import dataclass

from app.domain.checkup import tell_duration

#: seconds that an event may wait for the user's receiver before that is worth a warning: more than between two tries
PATIENCE = 900.0
#: seconds for which a finding of the archive's rounds is news: the next round finds it again
ARCHIVE_NEWS = 3 * 3600.0


@dataclass(frozen=True)
class Health:
    """What the last sweeps found. Times are epoch seconds on the ledger's clock."""

    now: float
    sweep_at: float | None
    bucket_at: float | None
    bucket_error: str
    #: age in seconds of the item that has been due longest without being enqueued
    overdue: float
    #: seconds for which messages have waited in a lane and nobody has taken one up
    unclaimed: float
    #: items whose step keeps failing, with the reason
    faults: dict[str, str]
    #: the vendor account's balance when it was last looked at, and why it could not be
    credits: float | None = None
    credits_at: float | None = None
    credits_error: str = ""
    #: generations whose events wait for the user's receiver, and the age of the oldest event in seconds
    untold: int = 0
    untold_for: float = 0.0
    #: when all that is settled for long was last looked at, and what of it could not leave for the bucket, and when
    archived_at: float | None = None
    archive_error: str = ""
    archive_error_at: float | None = None

    def warn_of_account(self, below: float | None) -> str:
        """What is wrong with the vendor's account; empty if nothing is, as far as is known. :param below: credits"""
        if self.credits is not None and below is not None and self.credits < below:
            return f"{self.credits:.12g} credits left, less than REELKEEP_CREDITS_WARN_BELOW ({below:.12g}): top up"
        return f"the balance could not be read: {self.credits_error}" if self.credits_error else ""

    @property
    def warn_of_receiver(self) -> str:
        """What is wrong with the user's receiver of events; empty if nothing is, as far as is known."""
        if self.untold_for <= PATIENCE:
            return ""
        age = tell_duration(self.untold_for)
        return f"your receiver has not taken the oldest event for {age}; generations whose events wait: {self.untold:,}"

    @property
    def warn_of_archive(self) -> str:
        """What is settled and cannot leave for the bucket; empty if nothing was found of late."""
        if self.archive_error_at is None or self.now - self.archive_error_at > ARCHIVE_NEWS:
            return ""
        return f"what is settled stays in Redis after REELKEEP_KEEP_DAYS: {self.archive_error}"
