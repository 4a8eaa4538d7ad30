import json, os, subprocess, sys, time
from pathlib import Path
from stream_bench.stage import open_stage, ROOT
from stream_bench.champion import train_champion, announce
from stream_bench.events import make_load, send
from stream_bench.watch import EndWatch
from aimaas.topics import topic_names
from aimaas.kafka import read_all
candidate = sys.argv[1] if len(sys.argv) > 1 else "boosting"
n = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
def say(*a): print(f"{time.perf_counter():.1f}", *a, file=sys.stderr, flush=True)
with open_stage(4) as stage:
    say("broker")
    fleet = stage.fleet(); stage.create(fleet)
    champion = train_champion(stage, candidate, 100); announce(stage, fleet, champion); say("champion", champion.path.stat().st_size)
    load = make_load(fleet, champion, 1000, n); say("load", len(load), len(load.events[0][1]), len(load.features[0][1]))
    send(stage.settings, topic_names(fleet).events, load.events); say("sent")
    for r in range(2):
        with stage.part(f"r{r}") as part:
            env = {**os.environ, "AIMAAS_HOME": str(stage.settings.home), "AIMAAS_FLEETS": str(part.folder), "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": stage.settings.bootstrap_servers, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
            out = part.folder / "profile.json"
            log = (part.folder / "log").open("wb")
            p = subprocess.Popen([sys.executable, str(ROOT / "benchmarks/stream_bench/profiled_score.py"), str(out), "score", "--fleet", "turbofan"], env=env, stdout=log, stderr=log)
            w = EndWatch(stage.settings, topic_names(part.fleet).predictions, 4)
            seen = [w.look()]
            while seen[-1].total < n or time.monotonic() - seen[-1].at < 0.5:
                s = w.look()
                if s.total != seen[-1].total: seen.append(s)
                time.sleep(0.02)
                if p.poll() is not None: break
            p.terminate(); p.wait(20)
            if p.returncode: print((part.folder/"log").read_text()[-3000:])
            a, b = seen[1], seen[-1]
            spent = json.loads(out.read_text()); e = spent.pop("events")
            say("rate", round((b.total - a.total) / (b.at - a.at)), "whole turn rate", round(e / (spent["turn"]-spent.get("idle",0))))
            for k, v in spent.items(): print(f"  {k:22s} {v/e*1e6:8.2f} us/event")
            recs = read_all(stage.settings, topic_names(part.fleet).predictions)
            import msgspec, numpy as np
            y = {}
            for rec in recs:
                d = msgspec.json.decode(rec.value); y[load.places[d["device_id"], d["run"], d["seq"]]] = d["prediction"]
            say("records", len(recs), "distinct", len(y), "max diff", max(abs(y[i]-load.expected[i]) for i in y))
