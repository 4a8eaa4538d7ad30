"""`aimaas fleets`: check and list fleet files, and derive other files from them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from aimaas.settings import read_settings
from cli.options import Fleet, fleet_of, opened, out, say, warn

fleets_app = typer.Typer(
    no_args_is_help=True, help="Draft, validate, try and list fleet files; derive schemas; reset a fleet."
)


@fleets_app.command("validate")
def fleets_validate(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Fleet files. Default: all files in AIMAAS_FLEETS.")
    ] = None,
) -> None:
    """Validate fleet files. Prints one line per mistake: file, key, value found, values allowed."""
    from aimaas.errors import FleetFileError
    from cli.fleets.validation import mistakes_of

    folder = read_settings().fleets
    paths = files or sorted(folder.glob("*.yaml"))
    if not paths:
        raise FleetFileError([f"{folder}: contains no fleet file; draft one with `aimaas fleets draft FILE`"])
    mistakes: list[str] = []
    for path in paths:
        spec, wrong = mistakes_of(path, folder)
        ok = f"ok: fleet {spec.fleet}, {len(spec.readings)} readings, {spec.task.kind}" if spec else ""
        told = f"{len(wrong)} mistake{'s' * (len(wrong) > 1)}"
        say(f"{path}: {told if wrong else ok}")
        mistakes += wrong
    if mistakes:
        raise FleetFileError(mistakes)


@fleets_app.command("list")
def fleets_list() -> None:
    """List the fleets. Names the files with mistakes and leaves them out."""
    from aimaas.fleet.folder import read_folder

    table = Table("fleet", "version", "readings", "task", "description", box=None)
    folder = read_folder(read_settings().fleets)
    for spec in folder.fleets.values():
        table.add_row(spec.fleet, str(spec.version), str(len(spec.readings)), spec.task.kind, spec.description)
    out.print(table)
    warn(folder.warning)


@fleets_app.command("draft")
def fleets_draft(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet file. A CSV file may be compressed.", metavar="FILE")],
    fleet: Annotated[
        str | None, typer.Option("--fleet", "-f", help="Name of the fleet. Default: the name of the file.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Folder for the fleet file and the mapping file. Default: AIMAAS_FLEETS."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Draft a fleet file and a mapping file from a table. A comment marks each guess.

    The command reads the whole file in constant memory. It sends nothing. Next, read both files and try them:

    \b
      aimaas fleets validate fleets/pump.yaml
      aimaas replay FILE --fleet pump --mapping fleets/mappings/pump.yaml --check
    """
    from cli.progress import Stages
    from stream.replay.draft.draft import draft, name_of, paths_of, require_free

    name = fleet or name_of(table)
    paths = paths_of(into or read_settings().fleets, name)
    if not overwrite:
        require_free(paths)
    with Stages() as stages:
        drafted = draft(table, name, stages)
    for path, content in zip(paths, (drafted.fleet_file, drafted.mapping_file), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        say(f"wrote {path}")
    counts = ((drafted.rows, "row"), (drafted.devices, "device"), (drafted.readings, "reading"))
    told = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts)
    say(f"{table}: {told}, {drafted.left_out} columns left out; read the comments in both files, then try them:")
    if drafted.unreadable:
        warn(f"{drafted.unreadable} rows cannot be read; the mapping names the first")
    fleet_file, mapping, data = (shlex.quote(str(path)) for path in (*paths, table))
    say(f"  aimaas fleets validate {fleet_file}")
    check = f"  aimaas replay {data} --fleet {name} --mapping {mapping} --check"
    say(check)


@fleets_app.command("compose")
def fleets_compose(
    write: Annotated[bool, typer.Option("--write", help="Write the files into the present folder.")] = False,
    scorers: Annotated[int, typer.Option(min=1, max=64, help="Scorers per fleet.")] = 2,
) -> None:
    """Print docker-compose.fleets.yml, with the services of each fleet. With --write, write it and the targets of Prometheus."""
    from aimaas.fleet.folder import read_folder
    from local.compose_fleets import compose_files, write_compose_files

    project, folder = Path(), read_folder(read_settings().fleets)
    warn(folder.warning)
    if not write:
        print(compose_files(project, folder.fleets, scorers)["docker-compose.fleets.yml"], end="")  # noqa: T201
        return
    for path in write_compose_files(project, folder.fleets, scorers):
        say(f"written: {path}")


@fleets_app.command("reset")
def fleets_reset(
    name: Annotated[str, typer.Argument(metavar="FLEET", help="Name of the fleet.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be deleted.")] = False,
) -> None:
    """Delete the topics, lake tables, registered models and local model copies of a fleet. For development.

    Pause the DAGs of the fleet and stop its devices first. The command lists what it will delete and asks for confirmation.
    It refuses while a scorer of the fleet runs. After an interruption, run it again: it continues.
    """
    from cli.fleets.reset import print_contents
    from upkeep.erasing.reset import erase, folders, lake_tables, model_versions
    from upkeep.erasing.topics import erase_topics, fleet_topics

    settings, spec = opened(name)
    topics = fleet_topics(settings, spec)
    tables, versions = lake_tables(settings, spec), model_versions(settings, spec)
    print_contents(spec.fleet, topics, tables, versions, folders(settings, spec))
    if dry_run:
        return
    if not yes:
        typer.confirm(f"Delete all of this from fleet {spec.fleet}? This cannot be undone.", abort=True)
    erase_topics(settings, spec)
    erase(settings, spec)
    say(
        f"fleet {spec.fleet} is empty. Create its topics with `aimaas topics create --fleet {spec.fleet}`. Other machines with "
        f"scorers or `aimaas serve` keep copies of models: delete AIMAAS_HOME/models/{spec.fleet} there"
    )


@fleets_app.command("try")
def fleets_try(
    file: Annotated[Path, typer.Argument(help="Changed copy of the fleet file.", metavar="FILE")],
    last: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Number of events to judge: the newest of the topic.")
    ] = 100_000,
) -> None:
    """Try a changed fleet file on the newest events of the topic. Prints the differences in refusals, rows, labels and features.

    The command changes nothing. With both files, devices start without a history, and features are not normalised. The events must
    fit in memory. Labels come from all outcomes on the outcomes topic.
    """
    from aimaas.errors import FleetFileError
    from aimaas.fleet import load_fleet
    from aimaas.records.events import Outcome
    from cli.fleets.preview import print_preview
    from spark_jobs.admission.outcomes import judge_outcomes
    from stream.preview.preview import preview

    settings, changed = read_settings(), load_fleet(file)
    present = fleet_of(settings, changed.fleet)
    if file.resolve() == (settings.fleets / f"{changed.fleet}.yaml").resolve():
        raise FleetFileError([f"{file}: is the fleet's own file; change a copy in another folder, and try the copy"])

    def decode(keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> list[Outcome]:
        return [o for o in judge_outcomes(present, keys, values) if isinstance(o, Outcome)]

    print_preview(present, changed, preview(settings, present, changed, last, decode))


@fleets_app.command("schema")
def fleets_schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[FLEET]", help="Name of the fleet. Default: all fleets.")
    ] = None,
    fleet: Annotated[str | None, typer.Option("--fleet", "-f", help="Name of the fleet, as an option.")] = None,
    topic: Annotated[
        str | None, typer.Option(help="Print one schema only, such as `events` or `events.dlq.headers`.")
    ] = None,
    asyncapi: Annotated[bool, typer.Option("--asyncapi", help="Print the AsyncAPI 3 document only.")] = False,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder in which to write one file per schema.")
    ] = None,
) -> None:
    """Print the JSON Schemas of the records on a fleet's topics, for authors of producers and consumers.

    The output has one schema per topic, and one for its headers (decoded as UTF-8) under `<topic>.headers`. --out also writes the
    AsyncAPI document. --topic and --asyncapi need a fleet.
    """
    from aimaas.fleet.folder import read_folder
    from stream.schemas.asyncapi import asyncapi as document
    from stream.schemas.files import all_documents, one_schema, write_documents
    from stream.schemas.topics import schemas

    settings, wanted = read_settings(), name or fleet
    folder = None if wanted else read_folder(settings.fleets)
    fleets = list(folder.fleets.values()) if folder else [fleet_of(settings, str(wanted))]
    warn(folder.warning if folder else None)
    if (topic or asyncapi) and not wanted:
        raise typer.BadParameter("--topic and --asyncapi need a fleet")
    if to is not None:
        for path in write_documents(all_documents(fleets), to):
            out.print(str(path), highlight=False, soft_wrap=True)
    elif topic:
        _print_json(one_schema(fleets[0], topic))
    else:
        _print_json(document(fleets[0]) if asyncapi else {n: s for f in fleets for n, s in schemas(f).items()})


def _print_json(found: dict[str, object]) -> None:
    out.print_json(json.dumps(found))


@fleets_app.command("rules")
def fleets_rules(fleet: Fleet) -> None:
    """List the admission rules of a fleet: the offsets from which they apply, and what changed.

    They are the parts of the fleet file that decide admission and device state, not the alert rules. A changed file appears once a
    scorer runs with it.
    """
    from aimaas.admission.journal import read_journal
    from aimaas.admission.rules import changes, digest_of, rules_of

    settings, spec = opened(fleet)
    log, before = read_journal(settings, spec).rules, None
    table = Table("rules", "since", "from offsets", "what changed", box=None)
    for held in log.stretches():
        rules = log.versions[held.digest]
        told = "\n".join(changes(before, rules)) if before is not None else "the first"
        offsets = "\n".join(f"{topic}/{p}/{offset}" for (topic, p), offset in held.offsets.items())
        table.add_row(held.digest, f"{held.at:%Y-%m-%dT%H:%M:%SZ}", offsets, told)
        before = rules
    out.print(table)
    present = rules_of(spec)
    if before is not None and digest_of(present) != digest_of(before):
        told = "; ".join(changes(before, present))
        say(f"the fleet file differs ({told}): its rules apply once a scorer has started with it")
