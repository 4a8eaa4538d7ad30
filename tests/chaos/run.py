"""One run of chaos: a load, what the plan does to its scorers meanwhile, and the account at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from aimaas.records.events import Announcement
from tests.chaos.account import Account, Drained, drained, reckon, wanted_alerts
from tests.chaos.conftest import Ground
from tests.chaos.driver import LIMIT_S, Driver
from tests.chaos.load import Load
from tests.chaos.untrusted import announce_untrusted, served_versions
from tests.stream.conftest import Line

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


def run(
    ground: Ground, plan: Plan, rate: float, least: int, most_s: float, say: Say, anew: Plan | None = None
) -> Outcome:
    """Load the line at `rate` events/s for as long as the plan takes (up to `most_s`), at least `least` events.

    With the plan `anew` the events topic is then drained, deleted and made anew under the scorer, and loaded by a tenth of that.
    """
    began, line = time.monotonic(), ground.line
    champion = line.champion(silent=True)
    announce_untrusted(line)
    driver = Driver(line, ground.broker, lambda text: say(f"{time.monotonic() - began:6.1f} s  {text}"))
    load = Load(line.settings, line.fleet, rate, least, most_s)
    parts = [_drained(line, champion, driver, load, plan)]
    load_s = load.took_s
    if anew is not None:
        label = driver.make_events_anew()
        load = Load(line.settings, line.fleet, rate, least // 10, most_s)
        second = _drained(line, champion, driver, load, anew, parts[0], label)
        parts.append(second.labelled(line.names.events, label))
        load_s += load.took_s
    driver.close()
    assert served_versions(line) == {champion.version}, "a model that is not to be trusted served"
    return Outcome(driver, load, reckon(line, parts), load_s, time.monotonic() - began)


def _drained(
    line: Line,
    champion: Announcement,
    driver: Driver,
    load: Load,
    plan: Plan,
    before: Drained | None = None,
    label: str | None = None,
) -> Drained:
    """Do what is planned under the load, and wait until all of it is answered, beside what was `before`."""
    load.start()
    try:
        plan(driver)
        assert load.is_on, "the load ended before the plan"
        driver.say("all is done that was planned")
    finally:
        load.end()
    assert not load.refused_by_broker
    driver.finish()
    found = drained(line, load, champion, label)
    parts = [found] if before is None else [before, found]
    scored, letters = sum(len(part.scored) for part in parts), sum(len(part.letters) for part in parts)
    line.wait_for(scored, letters)
    line.wait_for(0, limit_s=LIMIT_S, alerts=len(wanted_alerts(parts)))
    return found
