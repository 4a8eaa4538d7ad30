"""One run of chaos: a load, what the plan does to its scorers meanwhile, and the account at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.chaos.account import Account, reckon
from tests.chaos.conftest import Ground
from tests.chaos.driver import Driver
from tests.chaos.load import Load

Plan = Callable[[Driver], None]
Say = Callable[[str], None]


class Outcome(NamedTuple):
    """What was done, and what came of it."""

    driver: Driver
    load: Load
    account: Account
    load_s: float
    seconds: float

    def figures(self) -> dict[str, Any]:
        """One flat mapping of all counts."""
        d = self.driver
        done = {
            "scorer_kills": d.kills.total(),
            "kills": dict(d.kills),
            "broker_kills": d.broker_kills,
            "thaws": d.thaws,
        }
        times = {"load_s": round(self.load_s, 1), "seconds": round(self.seconds, 1)}
        return {**self.account.figures(), **done, "exits": len(d.exits), **times}


def run(ground: Ground, plan: Plan, rate: float, least: int, most_s: float, say: Say) -> Outcome:
    """Load the line at `rate` events/s for as long as the plan takes (up to `most_s`), at least `least` events."""
    began, line = time.monotonic(), ground.line
    champion = line.champion()
    load = Load(line.settings, line.fleet, rate, least, most_s)
    driver = Driver(line, ground.broker, lambda text: say(f"{time.monotonic() - began:6.1f} s  {text}"))
    load.start()
    try:
        plan(driver)
        assert load.is_on, f"the load of {most_s:g} s ended before the plan"
        driver.say("all is done that was planned")
    finally:
        load.end()
    load_s = time.monotonic() - load.began_at
    assert not load.refused_by_broker
    driver.finish()
    scored, letters = line.undisturbed(champion)
    line.wait_for(len(scored), len(letters))
    driver.leave("0")
    return Outcome(driver, load, reckon(line, load, scored, letters), load_s, time.monotonic() - began)
