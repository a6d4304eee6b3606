"""The vendor's bad weather: what it does, and that what was taken stands in the books."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from app.simulator.answers import success
from app.simulator.client import SimulatorClient
from app.simulator.command import simulator as command
from app.simulator.server import Options, Simulator
from app.simulator.weather import Climate, Weather

FINE = success({"taskId": "x"})


def outcomes(climate: Climate, subjects: int = 500) -> Counter[str]:
    weather = Weather(lambda: 0.0, climate)
    for number in range(subjects):
        weather.meet(f"POST {number}", lambda: FINE)
    return weather.served


def test_fair_weather_changes_nothing() -> None:
    weather = Weather(lambda: 0.0)
    assert weather.meet("POST x", lambda: FINE) == FINE
    assert weather.fog("x") == 0
    assert not weather.served


def test_faults_come_as_often_as_they_are_asked_for() -> None:
    served = outcomes(Climate(errors=0.2, refusals=0.1, drops=0.1, holds=0.1))
    expected = {"error": 100, "refusal": 50, "drop": 50, "hold": 50}
    assert served.keys() == expected.keys()
    assert all(abs(served[name] - count) < 30 for name, count in expected.items())


def test_the_same_seed_gives_the_same_faults_in_any_order() -> None:
    climate = Climate(seed=4, errors=0.2, drops=0.2)
    one, other = Weather(lambda: 0.0, climate), Weather(lambda: 0.0, climate)
    subjects = [f"POST {number}" for number in range(50)]
    met = {subject: one.meet(subject, lambda: FINE) for subject in subjects}
    assert {subject: other.meet(subject, lambda: FINE) for subject in reversed(subjects)} == met
    assert outcomes(climate) != outcomes(Climate(seed=5, errors=0.2, drops=0.2))


def test_a_request_asked_again_meets_a_chance_of_its_own() -> None:
    weather = Weather(lambda: 0.0, Climate(refusals=0.5))
    assert {weather.meet("POST x", lambda: FINE) == FINE for _ in range(50)} == {True, False}


def test_a_burst_refuses_everything_until_it_is_over() -> None:
    now = [0.0]
    weather = Weather(lambda: now[0], Climate(bursts=1, burst=2))
    assert weather.meet("POST x", lambda: FINE).status == 429
    weather.climate = Climate()
    now[0] = 1.9
    assert weather.meet("POST y", lambda: FINE).status == 429
    now[0] = 2.0
    assert weather.meet("POST z", lambda: FINE) == FINE


def test_what_is_refused_or_busy_was_not_carried_out_and_what_is_dropped_was() -> None:
    carried_out: Counter[str] = Counter()

    def act(name: str) -> Any:
        carried_out[name] += 1
        return FINE

    for name in ("refusals", "bursts", "drops", "holds", "errors"):
        weather = Weather(lambda: 0.0, Climate.model_validate({name: 1}))
        for number in range(100):
            weather.meet(str(number), lambda name=name: act(name))  # type: ignore[misc]
    assert carried_out.keys() == {"drops", "holds", "errors"}
    assert carried_out["drops"] == carried_out["holds"] == 100
    assert 20 < carried_out["errors"] < 80, "an error says nothing about what was done"


# --- through HTTP ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor() -> Iterator[SimulatorClient]:
    with Simulator(Options(speed=1000, rate_limit=0)) as running:
        yield SimulatorClient(running.url)


def set_weather(vendor: SimulatorClient, **climate: float) -> None:
    assert vendor.call("POST", "/_simulator/weather", json=climate).status_code == 200


def prompts(vendor: SimulatorClient) -> list[str]:
    return [row["prompt"] for row in vendor.books()["generations"].values()]


def test_a_generation_whose_answer_was_dropped_is_in_the_books(vendor: SimulatorClient) -> None:
    set_weather(vendor, drops=1)
    with pytest.raises(requests.ConnectionError):
        vendor.generate("taken")
    assert prompts(vendor) == ["taken"]
    assert vendor.call("GET", "/_simulator/weather").json()["served"] == {"drop": 1}


def test_a_refusal_comes_in_http_200_and_creates_nothing(vendor: SimulatorClient) -> None:
    set_weather(vendor, refusals=1)
    answer = vendor.call("POST", "/api/v1/veo/generate", json={"prompt": "refused"})
    assert answer.status_code == 200
    assert answer.json()["code"] in (408, 455, 500)
    assert answer.json()["data"] is None
    assert prompts(vendor) == []


def test_an_error_is_an_envelope_or_a_page(vendor: SimulatorClient) -> None:
    set_weather(vendor, errors=1)
    answers = [vendor.call("GET", "/api/v1/chat/credit") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {500, 502, 503}
    assert {answer.headers["Content-Type"].partition(";")[0] for answer in answers} == {"application/json", "text/html"}


def test_a_fresh_id_may_be_unknown_for_a_while(vendor: SimulatorClient) -> None:
    set_weather(vendor, fog=1)
    task_id = vendor.generate("foggy")
    assert vendor.books()["generations"][task_id]["prompt"] == "foggy"
    assert vendor.call("GET", "/_simulator/weather").json()["served"] == {"fog": 1}


def test_fair_weather_can_be_had_again(vendor: SimulatorClient) -> None:
    set_weather(vendor, drops=1)
    set_weather(vendor)
    assert vendor.generate("fine")


def test_no_weather_that_there_is_not(vendor: SimulatorClient) -> None:
    answer = vendor.call("POST", "/_simulator/weather", json={"hail": 1})
    assert answer.status_code == 400


def test_the_callbacks_to_come_are_counted(vendor: SimulatorClient) -> None:
    assert vendor.call("GET", "/_simulator/outstanding").json() == {"callbacks": 0}
    vendor.call("POST", "/_simulator/scenarios", json={"name": "late", "callback_delay": 1e6})
    vendor.generate("scenario=late", "http://127.0.0.1:9/callbacks")
    assert vendor.call("GET", "/_simulator/outstanding").json() == {"callbacks": 1}


def test_the_command_refuses_weather_that_it_cannot_read() -> None:
    outcome = CliRunner().invoke(command, ["--weather", '{"errors": 2}'])
    assert outcome.exit_code == 2
    assert "--weather" in outcome.output
