"""`aimaas topics`: create a fleet's topics, add partitions, print or grant the rights of each role, and skip a broken batch."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Fleet, opened, out, say

topics_app = typer.Typer(
    no_args_is_help=True,
    help="Create and grow the Kafka topics of a fleet, print or apply ACLs, skip an unreadable batch.",
)


@topics_app.command("create")
def topics_create(fleet: Fleet) -> None:
    """Create the topics of a fleet with their settings.

    If a topic exists, the command changes settings if this loses no record. It fails on any other difference, and prints it.
    """
    from aimaas.kafka import create_topics
    from aimaas.topics import topic_specs

    settings, fleet_spec = opened(fleet)
    specs = topic_specs(fleet_spec)
    new = set(create_topics(settings, specs))
    for spec in specs:
        state = "created" if spec.name in new else "present"
        say(f"{state}  {spec.name}  ({spec.partitions} partitions)")


@topics_app.command("acls")
def topics_acls(
    fleet: Fleet,
    role: Annotated[str | None, typer.Option(help="Role to print or grant. Default: all roles.")] = None,
    user: Annotated[str | None, typer.Option(help="Name of the Kafka user. Default: the name of the role.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Create the ACLs on the broker. Needs a user that may Alter the cluster.")
    ] = False,
) -> None:
    """Print the `kafka-acls` commands that grant each role its rights, or grant them with `--apply`.

    A broker without an authorizer has no ACLs. An ACL that exists stays, so the command can be repeated.
    """
    from aimaas.kafka.acls import grant
    from aimaas.kafka.roles import ROLES, rights_of

    if role is not None and role not in ROLES:
        raise typer.BadParameter(f"{role!r} is not a role: use one of {', '.join(ROLES)}")
    if apply and user is not None and role is None:
        raise typer.BadParameter(f"--apply would grant {user} the rights of all roles: name one with --role")
    settings, spec = opened(fleet)
    for name in ROLES if role is None else (role,):
        granted_to, rights = user or name, rights_of(name, spec)
        if apply:
            grant(settings, granted_to, rights)
        else:
            say(f"# {name}")
        for right in rights:
            say(f"granted  {granted_to}  {right}" if apply else right.command(granted_to, settings.kafka))


@topics_app.command("grow")
def topics_grow(
    fleet: Fleet,
    partitions: Annotated[int, typer.Option(min=1, max=1_000, help="New number of partitions of each topic.")],
) -> None:
    """Add partitions to the topics and move the device state. Stop producers and scorers first.

    After an interruption, run the command again: it continues.
    """
    from upkeep.growth.grow import grow

    settings, spec = opened(fleet, logs=True)
    done = grow(settings, spec, partitions)
    for topic, before in done.grown.items():
        say(f"grown  {topic}  ({before} to {partitions} partitions)")
    say(f"{done.devices} devices, {done.moved} of them moved to another partition")
    if done.astray:
        out.print(
            f"[red]{done.astray} events arrived during this command on the old partitions of their devices[/red]: a producer still "
            f"runs. They are refused as wrong_partition. Restart the producer, then run `aimaas dlq replay --fleet {fleet} "
            "--reason wrong_partition`",
            highlight=False,
        )
        raise typer.Exit(1)
    if spec.topics.partitions != partitions:
        say(f"now set topics.partitions: {partitions} in {settings.fleets / fleet}.yaml")
    say("then restart the producers, so that they see the new partitions, and start the scorers")


@topics_app.command("skip")
def topics_skip(
    fleet: Fleet,
    partition: Annotated[int, typer.Option(min=0, help="Partition, as in the error message.")],
    offset: Annotated[int, typer.Option(min=0, help="Any offset of the batch, as in the error message.")],
    topic: Annotated[
        str | None, typer.Option(help="Topic of the batch. Default: the events topic of the fleet.")
    ] = None,
) -> None:
    """Skip a batch that no client can read. Its offsets become a gap in the journal of the fleet.

    Stop the scorer first, and start it again afterwards. The command refuses to skip a batch that can be read.
    """
    from datetime import UTC, datetime

    from aimaas.admission.unreadable_batches import skip
    from aimaas.topics import topic_names

    settings, spec = opened(fleet)
    gap = skip(settings, spec, topic or topic_names(spec).events, partition, offset, datetime.now(UTC))
    say(f"skipped  {gap.topic}/{gap.partition}, offsets {gap.first} to {gap.last} ({gap.why})")
