"""The content of a version's page in MLflow: whether the version was promoted and why, its metrics, its card.

Programs read the tags of the version; the description is Markdown made from these tags.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aimaas.registry.vetoes import Veto

PROMOTED, NOT_PROMOTED, ROLLED_BACK = "promoted", "not promoted", "rolled back"
BY_HAND = "by hand, without gates"
_PROMOTION, _REASON, _AT = "promotion", "promotion_reason", "promotion_at"
_MOST_CHARACTERS = 4_000  # of a reason; a tag of MLflow may have 5,000


def note_promotion(
    client: Any, found: Any, promotion: str, reason: str, at: datetime, veto: Veto | None = None
) -> None:
    """Note the result of a promotion (`PROMOTED`, …), the reason, and the time in UTC on the page of the version `found`."""
    said = {_PROMOTION: promotion, _REASON: reason[:_MOST_CHARACTERS], _AT: f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    for name, value in said.items():
        client.set_model_version_tag(found.name, found.version, name, value)
    write_description(client, client.get_model_version(found.name, found.version), veto)


def write_description(client: Any, found: Any, veto: Veto | None = None) -> None:
    """Write the description of the version `found` again from its tags; `veto` is its veto, if it has one."""
    run = client.get_run(found.run_id)
    text = description(found.tags, run.data.metrics, run.info.experiment_id, found.run_id, veto)
    client.update_model_version(found.name, found.version, text)


def description(
    tags: dict[str, str], metrics: dict[str, float], experiment: str, run: str, veto: Veto | None = None
) -> str:
    """The Markdown for a version with these tags, whose run has these metrics."""
    facts = [_promotion(tags)]
    if veto is not None:
        facts.append(f"**Vetoed** {_day(f'{veto.at:%Y-%m-%dT%H:%M:%SZ}')}: {veto.why}")
    facts.append(" · ".join(_links(tags, f"#/experiments/{experiment}", run)))
    error = tags.get("error", "")
    rows = [("candidate", f"{tags.get('candidate', '?')}, shipped as {tags.get('form', '?')}")]
    if error in metrics:
        rows.append((f"{error} on the test devices", f"{metrics[error]:.4g}"))
    if f"baseline_{error}" in metrics:
        rows.append(("always predicting the mean", f"{metrics[f'baseline_{error}']:.4g}"))
    rows += [
        ("learned from", f"gold version {tags.get('gold_version', '?')}, rows {tags.get('digest', '?')[:12]}"),
        ("code", tags.get("code_version", "?")),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    return "\n\n".join([*facts, table])


def _links(tags: dict[str, str], experiment: str, run: str) -> list[str]:
    """Links to MLflow's pages of the card, the run with its candidates, the signature and the data set."""
    links = [f"[Training and its candidates]({experiment}/runs/{run})"]
    if "model_id" in tags:
        links.append(f"[Signature, example and data set]({experiment}/models/{tags['model_id']})")
    if "card" in tags:
        links.insert(0, f"[Model card]({experiment}/runs/{run}/artifacts/card/model_card.html)")
    return links


def _promotion(tags: dict[str, str]) -> str:
    if _PROMOTION not in tags:
        return "**Not compared with the champion yet.**"
    return f"**{tags[_PROMOTION].capitalize()}** {_day(tags.get(_AT, ''))}: {tags.get(_REASON, '')}"


def _day(at: str) -> str:
    return at.replace("T", " ").removesuffix("Z")[:16] + " UTC"
