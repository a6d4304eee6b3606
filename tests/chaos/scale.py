"""How large a run is, and how long its troubles last."""

from dataclasses import dataclass

#: up to so many generations a run is a small one
SMALL = 500
#: generations in a second, of a large run and of a small one
PACE, SMALL_PACE = 7.0, 5.0


@dataclass(frozen=True)
class Scale:
    """Sizes and times of a run; seconds everywhere."""

    generations: int
    #: of feeding and trouble
    lasts: float
    #: how much faster than real the vendor's time goes by
    speed: int
    lease: float
    sweep: float
    first_poll_after: float
    upgrade_poll_after: float
    retry_max: float
    #: bounds between two kills
    calm: tuple[float, float]
    #: what a deployment leaves a process between SIGTERM and SIGKILL
    grace: float
    redis_pause: float
    s3_stall: float
    s3_outage: float
    #: how long an answer of the vendor's is held back: its client waits for 20
    hold: float
    #: of the vendor's answers, how many are; and after how many all are refused with 429 for a while
    holds: float
    bursts: float
    #: how long the work may take to come to its end once all trouble is over
    patience: float


def scale_for(generations: int) -> Scale:
    """The scale of a run of so many generations."""
    if generations <= SMALL:
        return Scale(
            generations,
            lasts=generations / SMALL_PACE,
            speed=60,
            lease=5,
            sweep=3,
            first_poll_after=4,
            upgrade_poll_after=10,
            retry_max=2,
            calm=(1.0, 3.0),
            grace=6,
            redis_pause=3,
            s3_stall=2,
            s3_outage=4,
            hold=22,
            holds=0.002,
            bursts=0.003,
            patience=120,
        )
    return Scale(
        generations,
        lasts=max(generations / PACE, 300),
        speed=20,
        lease=15,
        sweep=5,
        first_poll_after=20,
        upgrade_poll_after=40,
        retry_max=5,
        calm=(3.0, 9.0),
        grace=30,
        redis_pause=20,
        s3_stall=20,
        s3_outage=60,
        hold=25,
        holds=0.005,
        bursts=0.002,
        patience=600,
    )
