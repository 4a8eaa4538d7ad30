"""The model registry: MLflow, with the fleet's name as model name. The alias `champion` decides which version serves.

A tag of the registered model has the champion's sequence. The sequence rises whenever the alias moves to another version. If a
person moves the alias in MLflow's pages, the next `sync_champion` updates the tag. Reads and changes of one home take a lock,
because compare-and-set needs one and MLflow has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from aimaas.errors import RegistryError
from aimaas.fleet import FleetSpec
from aimaas.model.artefact import FILE_NAME, sha256
from aimaas.records.events import CHAMPION
from aimaas.registry.card_version import write_version
from aimaas.registry.mlflow_run import log_run
from aimaas.registry.mlflow_store import CARD_FOLDER, CARD_NAME, locked, versions_of
from aimaas.registry.mlflow_store import client as client_of
from aimaas.registry.version_page import BY_HAND, NOT_PROMOTED, PROMOTED, ROLLED_BACK, note_promotion, write_description
from aimaas.registry.vetoes import BY_ROLLBACK, Veto, add_veto, lift_veto, vetoes
from aimaas.settings import Settings
from aimaas.stored_files import Place, at_hand
from aimaas.training.report import TrainReport, read_report

CHALLENGER = "challenger"
_TAG = "aimaas.champion"
_KEPT = 50  # former champions kept for rollbacks


class Champion(msgspec.Struct, frozen=True):
    """The version with the alias `champion`. `sequence` only rises; `before` are former champions, the newest last."""

    version: str
    sequence: int
    at: datetime
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelRow:
    """One registered version as the row of a table."""

    version: str
    aliases: tuple[str, ...]
    candidate: str
    metric: str
    registered_at: str
    training_set: str
    veto: Veto | None = None


def prepare_registry(settings: Settings) -> None:
    """Create the database of a local registry, which takes seconds the first time. Raises RegistryError."""
    with locked(settings, "database"), client_of(settings) as client:
        client.search_registered_models(max_results=1)


def register(settings: Settings, fleet: FleetSpec, trained: Place) -> str:
    """Put a finished training (`model.onnx`, `report.json`) into the registry and return its version.

    `trained` is a path or a URI. The same bytes are registered once; later cards get the existing version. Raises RegistryError
    for a torn folder, LakeError for a URI without content.
    """
    with at_hand(trained) as folder:
        report = read_report(folder)
        _check_trained(fleet, folder, report)
        with locked(settings, fleet.fleet), client_of(settings) as client:
            known = [v for v in _versions(client, fleet.fleet) if v.tags.get("sha256") == report.sha256]
            made = known[-1] if known else _register(client, settings, fleet, folder, report)
            _keep_card(client, made, folder)
            return str(made.version)


def _register(client: Any, settings: Settings, fleet: FleetSpec, trained: Path, report: TrainReport) -> Any:
    tags = _tags(report)
    run, model = log_run(client, settings, fleet, trained, report, tags)
    _make_model(client, fleet.fleet, fleet.description)
    tags["model_id"] = model.model_id  # only MLflow's hosted store keeps its own field
    return client.create_model_version(
        fleet.fleet, model.artifact_location, run.info.run_id, tags=tags, model_id=model.model_id
    )


def _keep_card(client: Any, made: Any, trained: Path) -> None:
    """Write the version into the card, upload the card to the run unless it has one, and write the version's page."""
    registered = datetime.fromtimestamp(made.creation_timestamp / 1_000, UTC)
    write_version(trained / CARD_FOLDER, made.name, str(made.version), registered)
    if "card" not in made.tags and (trained / CARD_FOLDER / CARD_NAME).is_file():
        client.log_artifacts(made.run_id, str(trained / CARD_FOLDER), CARD_FOLDER)
        kept = f"{client.get_run(made.run_id).info.artifact_uri}/{CARD_FOLDER}/{CARD_NAME}"
        client.set_model_version_tag(made.name, made.version, "card", kept)
    if not made.description:
        write_description(client, client.get_model_version(made.name, made.version))


def list_models(settings: Settings, fleet: FleetSpec) -> list[ModelRow]:
    """All versions of the fleet's model, newest first; none before the first training."""
    with client_of(settings) as client:
        aliases, vetoed = _aliases(client, fleet.fleet), vetoes(client, fleet.fleet)
        return [_row(v, aliases, vetoed) for v in _versions(client, fleet.fleet)]


def show_model(settings: Settings, fleet: FleetSpec, version: str) -> dict[str, Any]:
    """All facts about a version as plain data: aliases, tags, metrics, parameters and the URI of the artefact."""
    with client_of(settings) as client:
        found = _version(client, fleet.fleet, version)
        run = client.get_run(found.run_id).data
        return {
            "fleet": fleet.fleet,
            "version": str(found.version),
            "aliases": [a for a, v in _aliases(client, fleet.fleet).items() if v == str(found.version)],
            "registered_at": _time(found.creation_timestamp),
            "uri": _artefact(found),
            **found.tags,
            "metrics": dict(sorted(run.metrics.items())),
            "params": dict(sorted(run.params.items())),
            "run_id": found.run_id,
        }


def trained_on(settings: Settings, fleet: FleetSpec, digest: str) -> list[str]:
    """The versions that were trained on the training set with this digest, oldest first."""
    with client_of(settings) as client:
        return [str(v.version) for v in reversed(_learned_from(client, fleet.fleet, digest))]


def mark_void(settings: Settings, fleet: FleetSpec, digest: str, why: str) -> list[str]:
    """Note at every version that was trained on the rows with this digest that they are gone, so it cannot be rebuilt; return the
    versions.
    """
    with client_of(settings) as client:
        mine = _learned_from(client, fleet.fleet, digest)
        for version in mine:
            client.set_model_version_tag(fleet.fleet, version.version, "training_set_void", why)
    return [str(v.version) for v in mine]


def _learned_from(client: Any, fleet: str, digest: str) -> list[Any]:
    return [v for v in _versions(client, fleet) if v.tags.get("digest") == digest]


def load_artefact(settings: Settings, fleet: FleetSpec, version: str) -> bytes:
    """The ONNX file of a version. Raises RegistryError if it is gone or differs from the registered bytes."""
    with client_of(settings) as client:
        found = _version(client, fleet.fleet, version)
        content = _download(_artefact(found), settings.mlflow_tracking_uri)
    if sha256(content) != found.tags["sha256"]:
        raise RegistryError(f"model {fleet.fleet} version {version}: {_artefact(found)} is not the registered file; "
                            "promote another version")  # fmt: skip
    return content


def _artefact(found: Any) -> str:
    """URI of the ONNX file of a version.

    The version's source is the folder that MLflow loads, in older versions the file itself.
    """
    source = str(found.source)
    return source if source.endswith(f"/{FILE_NAME}") else f"{source.rstrip('/')}/{FILE_NAME}"


def _download(uri: str, tracking_uri: str) -> bytes:
    """The file's bytes; a local file is not copied."""
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(uri, tracking_uri=tracking_uri)).read_bytes()


def sync_champion(settings: Settings, fleet: FleetSpec, above: int = 0, now: datetime | None = None) -> Champion | None:
    """Read the champion, with a new sequence if the alias was moved or its sequence is not higher than `above`.

    None if there is no champion.
    """
    with locked(settings, fleet.fleet), client_of(settings) as client:
        return _settle(client, fleet.fleet, above, now or datetime.now(UTC))


def set_champion(
    settings: Settings,
    fleet: FleetSpec,
    version: str,
    expected: Champion | None = None,
    compare: bool = False,
    now: datetime | None = None,
    why: str = BY_HAND,
) -> Champion:
    """Make a version the champion; with `compare` only if the champion is still `expected`, else RegistryError.

    The version's page shows `why`. Also raises RegistryError if the version is vetoed.
    """
    with locked(settings, fleet.fleet), client_of(settings) as client:
        veto = _veto_of(client, fleet.fleet, version)
        if veto is not None:
            raise RegistryError(f"version {version} of {fleet.fleet} is {still_vetoed(veto, fleet.fleet, version)}")
        found = _settle(client, fleet.fleet, 0, now or datetime.now(UTC))
        if compare and found != expected:
            raise RegistryError(
                f"the champion of {fleet.fleet} was meanwhile changed to version {found.version if found else 'none'}: "
                "compare again"
            )
        made = _move(client, fleet.fleet, version, now)
        note_promotion(client, _version(client, fleet.fleet, version), PROMOTED, why, made.at)
        return made


def note_not_promoted(
    settings: Settings, fleet: FleetSpec, version: str, reason: str, now: datetime | None = None
) -> None:
    """Note on the page of a version why it was not promoted. The page of the champion does not change."""
    with client_of(settings) as client:
        if _aliases(client, fleet.fleet).get(CHAMPION) != version:
            found, veto = _version(client, fleet.fleet, version), _veto_of(client, fleet.fleet, version)
            note_promotion(client, found, NOT_PROMOTED, reason, now or datetime.now(UTC), veto)


def rollback(settings: Settings, fleet: FleetSpec, now: datetime | None = None) -> str:
    """Promote the newest former champion that is still registered and not vetoed; return its version.

    The serving version is vetoed: it is not promoted again until a person lifts the veto. If the champion was deleted together
    with its alias, the former champion before it is next. Raises RegistryError if there is no former champion.
    """
    with locked(settings, fleet.fleet), client_of(settings) as client:
        at, vetoed = now or datetime.now(UTC), vetoes(client, fleet.fleet)
        known = {str(v.version): v.tags.get("sha256", "") for v in _versions(client, fleet.fleet)}
        found = _settle(client, fleet.fleet, 0, at) or _read(client, fleet.fleet)
        before = found.before if found else ()
        served = found.version if found else None
        usable = {version for version, digest in known.items() if digest not in vetoed and version != served}
        left = [i for i, version in enumerate(before) if version in usable]
        if found is None or not left:
            raise RegistryError(_no_former(fleet.fleet, usable, set(known)))
        version = before[left[-1]]
        veto = Veto(found.version, at, BY_ROLLBACK)
        if found.version in known:
            add_veto(client, fleet.fleet, known[found.version], veto)
        client.set_registered_model_alias(fleet.fleet, CHAMPION, version)
        _write(client, fleet.fleet, Champion(version, found.sequence + 1, at, before[: left[-1]]))
        if found.version in known:
            left_behind = _version(client, fleet.fleet, found.version)
            note_promotion(client, left_behind, ROLLED_BACK, f"version {version} serves again", at, veto)
        back = _version(client, fleet.fleet, version)
        note_promotion(client, back, PROMOTED, f"again, after version {found.version} was rolled back", at)
        return version


def _no_former(fleet: str, usable: set[str], known: set[str]) -> str:
    why = f"{fleet} has no former champion to roll back to"
    if not known:
        return f"{why}, and no versions: train one"
    if not usable:
        return f"{why}, and no other version may be promoted: train one, or lift a veto with `aimaas models unveto`"
    return (
        f"{why}; promote one of {', '.join(sorted(usable, key=int))}: `aimaas models promote VERSION --fleet {fleet}`"
    )


def veto(settings: Settings, fleet: FleetSpec, version: str, why: str, now: datetime | None = None) -> None:
    """Forbid the promotion of this version, and of the same bytes under another version. Raises RegistryError if it serves."""
    with locked(settings, fleet.fleet), client_of(settings) as client:
        found = _version(client, fleet.fleet, version)
        if _aliases(client, fleet.fleet).get(CHAMPION) == version:
            raise RegistryError(
                f"version {version} of {fleet.fleet} serves: `aimaas models rollback --fleet {fleet.fleet}` restores the "
                "previous champion and vetoes this version; or promote another version first"
            )
        added = Veto(version, now or datetime.now(UTC), why)
        add_veto(client, fleet.fleet, found.tags["sha256"], added)
        write_description(client, found, added)


def unveto(settings: Settings, fleet: FleetSpec, version: str) -> Veto:
    """Lift the veto of a version, and return it. Raises RegistryError if there is none."""
    with locked(settings, fleet.fleet), client_of(settings) as client:
        vetoed = _version(client, fleet.fleet, version)
        found = vetoes(client, fleet.fleet).get(vetoed.tags["sha256"])
        if found is None:
            raise RegistryError(f"version {version} of {fleet.fleet} is not vetoed")
        lift_veto(client, fleet.fleet, vetoed.tags["sha256"])
        write_description(client, vetoed)
        return found


def veto_of(settings: Settings, fleet: FleetSpec, version: str) -> Veto | None:
    """The veto of a version."""
    with client_of(settings) as client:
        return _veto_of(client, fleet.fleet, version)


def still_vetoed(veto: Veto, fleet: str, version: str) -> str:
    """The text that says why a version cannot be promoted, and how a person lifts the veto."""
    return f"{veto}; `aimaas models unveto {version} --fleet {fleet}` lifts the veto"


def _veto_of(client: Any, fleet: str, version: str) -> Veto | None:
    return vetoes(client, fleet).get(_version(client, fleet, version).tags.get("sha256", ""))


def set_challenger(settings: Settings, fleet: FleetSpec, version: str | None) -> None:
    """Set the alias of the challenger to a version; None removes the alias."""
    with client_of(settings) as client:
        if version is not None:
            client.set_registered_model_alias(fleet.fleet, CHALLENGER, version)
        elif CHALLENGER in _aliases(client, fleet.fleet):
            client.delete_registered_model_alias(fleet.fleet, CHALLENGER)


def _move(client: Any, fleet: str, version: str, now: datetime | None) -> Champion:
    """Move the alias, then the tag. If a kill leaves the tag behind, the next `sync_champion` updates it."""
    client.set_registered_model_alias(fleet, CHAMPION, version)
    settled = _settle(client, fleet, 0, now or datetime.now(UTC))
    assert settled is not None  # noqa: S101 - the alias was just set
    return settled


def _settle(client: Any, fleet: str, above: int, now: datetime) -> Champion | None:
    version, tag = _aliases(client, fleet).get(CHAMPION), _read(client, fleet)
    if version is None:
        return None
    settled = settled_champion(version, tag, above, now)
    if settled != tag:
        _write(client, fleet, settled)
    return settled


def settled_champion(version: str, known: Champion | None, above: int, now: datetime) -> Champion:
    """The correct content of the tag if the alias names `version` and the tag holds `known`."""
    if known is None:
        return Champion(version, above + 1, now)
    if known.version == version:
        risen = Champion(version, above + 1, now, known.before)
        return known if known.sequence > above else risen
    before = (*known.before, known.version)[-_KEPT:]
    return Champion(version, max(known.sequence, above) + 1, now, before)


def _read(client: Any, fleet: str) -> Champion | None:
    found = client.search_registered_models(f"name='{fleet}'")  # none before the first registration
    text = found[0].tags.get(_TAG) if found else None
    return None if text is None else msgspec.json.decode(text, type=Champion)


def _write(client: Any, fleet: str, champion: Champion) -> None:
    client.set_registered_model_tag(fleet, _TAG, msgspec.json.encode(champion).decode())


def _make_model(client: Any, fleet: str, description: str) -> None:
    if not client.search_registered_models(f"name='{fleet}'"):
        client.create_registered_model(fleet, description=description)


def _aliases(client: Any, fleet: str) -> dict[str, str]:
    """Alias -> version; {} for a model that does not exist yet."""
    found = client.search_registered_models(f"name='{fleet}'")
    return {alias: str(version) for alias, version in found[0].aliases.items()} if found else {}


def _versions(client: Any, fleet: str) -> list[Any]:
    return sorted(versions_of(client, fleet), key=lambda v: int(v.version), reverse=True)


def _version(client: Any, fleet: str, version: str) -> Any:
    versions = {str(v.version): v for v in _versions(client, fleet)}
    if version not in versions:
        known = ", ".join(versions) or "none"
        raise RegistryError(f"model {fleet} has no version {version!r}; versions: {known}")
    return versions[version]


def _row(found: Any, aliases: dict[str, str], vetoed: dict[str, Veto]) -> ModelRow:
    version, tags = str(found.version), found.tags
    metric = f"{tags.get('error', '?')} {float(tags.get('error_on_test', 'nan')):.4g}"
    mine = tuple(a for a, v in aliases.items() if v == version)
    candidate, place = tags.get("candidate", "?"), tags.get("training_set", "?")
    veto = vetoed.get(tags.get("sha256", ""))
    return ModelRow(version, mine, candidate, metric, _time(found.creation_timestamp), place, veto)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_trained(fleet: FleetSpec, trained: Path, report: TrainReport) -> None:
    path = trained / FILE_NAME
    if not path.is_file() or sha256(path.read_bytes()) != report.sha256:
        raise RegistryError(
            f"{path}: missing, or not the file that the report names; run the training of the fleet again"
        )
    if report.fleet != fleet.fleet:
        raise RegistryError(f"{trained}: a training of fleet {report.fleet!r}, not {fleet.fleet!r}")


def _tags(report: TrainReport) -> dict[str, str]:
    """The provenance of a version, which is enough to build it again."""
    tags = {
        "candidate": report.chosen, "form": report.form, "sha256": report.sha256, "plan": report.plan, "fit": report.fit,
        "training_set": report.training_set, "digest": report.digest, "gold_version": report.gold_version,
        "code_version": report.code_version, "seed": report.seed, "fleet_version": report.fleet_version,
        "error": report.error, "error_on_test": report.metrics[report.error],
    }  # fmt: skip
    return {key: str(value) for key, value in tags.items()}
