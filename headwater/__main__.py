"""The command `headwater`: arguments -> one of the rooms below. Heavy imports happen inside the commands.

Exit codes: 0 done, 1 done and not well (a failed check, a wrong answer), 2 cannot be done as asked, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ConfigError, HeadwaterError
from headwater.commands.agent_commands import agent_app
from headwater.commands.quality_commands import quality_app
from headwater.options import DataDir, Env, Host, Json, Order, Port, TakesQuery, settings_for
from headwater.supervision.child import die_with_parent

app = typer.Typer(
    name="headwater",
    help="Logs, metrics and events: accepted once, searchable in a second, kept for years in open tables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
app.add_typer(agent_app, name="agent")
lake_app = typer.Typer(help="Look after the Delta tables.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
topics_app = typer.Typer(
    help="The topics of a Kafka bus: bring them up to what is declared, show them.", no_args_is_help=True
)
app.add_typer(topics_app, name="topics")
app.add_typer(lake_app, name="lake")
retention_app = typer.Typer(help="What is due by the retention policy: show it, do it now.", no_args_is_help=True)
app.add_typer(retention_app, name="retention")
app.add_typer(quality_app, name="quality")
receipts_app = typer.Typer(help="What erasures have left as proof.", no_args_is_help=True)
app.add_typer(receipts_app, name="receipts")


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Read by `main`, which sees errors that pass through here."""


@app.command()
def up(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    no_batch: Annotated[
        bool, typer.Option("--no-batch", help="Leave the batch tiers out: nothing is compacted, checked or moved.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Logs to the console, not to <data>/logs.")] = False,
) -> None:
    """Start everything on one port: both APIs and the flows, supervised."""
    from headwater.commands.up import up as start

    start(settings_for(data_dir=data_dir, host=host, port=port), verbose, batch=not no_batch)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself; exit code 0 if every answer was right.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long the sample shop writes.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Another seed tells another quarter of an hour.")] = 7,
) -> None:
    """Run a sample shop through the platform, ask questions, check the answers."""
    from headwater.demo.demo import demo as run

    raise typer.Exit(run(once=once, port=port, seconds=seconds, seed=seed))


@app.command(cls=TakesQuery)
def search(
    query: Annotated[str, typer.Argument(help="Lucene syntax; everything when left out.")] = "",
    since: Annotated[str, typer.Option(help="How far back: 30s, 15m, 2h, 7d. [15m]")] = "",
    start: Annotated[str, typer.Option(help="Earliest time, in place of --since: 2026-03-01T12:00:00Z, now-2h.")] = "",
    end: Annotated[str, typer.Option(help="Latest time, exclusive.")] = "",
    order: Annotated[Order, typer.Option(help="Newest first or oldest first.")] = Order.DESC,
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    env: Annotated[str, typer.Option(help="Only this environment.")] = "",
    host: Annotated[str, typer.Option(help="Only this host.")] = "",
    level: Annotated[str, typer.Option(help="Only this level, e.g. error.")] = "",
    tiers: Annotated[str, typer.Option(help="Where: hot, lake, archive, by commas, or all.")] = "hot,lake",
    limit: Annotated[int, typer.Option(min=0, help="Most records; 0 is all.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Search logs across pages."""
    from headwater.commands.search import Filters
    from headwater.commands.search import search as run

    filters = Filters(query, since, service, env, host, level, tiers, start, end)
    raise typer.Exit(run(settings_for(data_dir=data_dir), filters, limit, follow, as_json, order))


@keys_app.command("create")
def keys_create(
    tenant: Annotated[str, typer.Option(help="1-63 of a-z, 0-9, - and _.")],
    role: Annotated[str, typer.Option(help="ingest, read or admin.")],
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, this once."""
    from headwater.commands.keys import create

    raise typer.Exit(create(settings_for(data_dir=data_dir), tenant, role))


@keys_app.command("list")
def keys_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """The keys there are, without their secrets."""
    from headwater.commands.keys import show

    raise typer.Exit(show(settings_for(data_dir=data_dir), as_json))


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")], data_dir: DataDir = None
) -> None:
    """Take a key back; running services notice within seconds."""
    from headwater.commands.keys import revoke

    raise typer.Exit(revoke(settings_for(data_dir=data_dir), key_id))


@lake_app.command("vacuum")
def lake_vacuum(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Name what would be deleted, delete nothing.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete files that no version uses, and on S3 unfinished uploads; safe beside running services."""
    from headwater.commands.lake import vacuum

    raise typer.Exit(vacuum(settings_for(data_dir=data_dir), dry_run))


@retention_app.command("plan")
def retention_plan(data_dir: DataDir = None, as_json: Json = False) -> None:
    """What would go now, and when something is due next; changes nothing."""
    from headwater.commands.retention import plan

    raise typer.Exit(plan(settings_for(data_dir=data_dir), as_json))


@retention_app.command("apply")
def retention_apply(data_dir: DataDir = None) -> None:
    """Do what is due now; safe beside running services, and again after a crash."""
    from headwater.commands.retention import apply

    raise typer.Exit(apply(settings_for(data_dir=data_dir)))


@app.command("rebuild-hot")
def rebuild_hot(
    days: Annotated[str, typer.Option(help="2026-01-31, or 2026-01-01..2026-01-31: UTC days of arrival, closed ones.")],
    kind: Annotated[list[str] | None, typer.Option(help="logs, metrics or events; may be given again. [all]")] = None,
    data_dir: DataDir = None,
) -> None:
    """Build days of the hot store anew from the lake, while everything runs; each is swapped in when complete."""
    from headwater.commands.rebuild import rebuild_hot as run

    raise typer.Exit(run(settings_for(data_dir=data_dir), days, kind or ()))


@app.command()
def tiers(data_dir: DataDir = None, as_json: Json = False) -> None:
    """What each tier holds, how it grows, its upkeep, and when the disk would be full."""
    from headwater.commands.tiers import tiers as run

    raise typer.Exit(run(settings_for(data_dir=data_dir), as_json))


@topics_app.command("apply")
def topics_apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Make missing topics and bring the others up to what is declared; all or nothing."""
    from headwater.commands.topics import apply

    raise typer.Exit(apply(settings_for(), dry_run))


@topics_app.command("show")
def topics_show(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Partitions, copies, sizes, retention and offsets."""
    from headwater.commands.topics import show

    raise typer.Exit(show(settings_for(data_dir=data_dir), as_json))


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of files; gzip and zstd are unpacked.")],
    tenant: Annotated[str, typer.Option(help="Whose records they are.")] = "default",
    kind: Annotated[str, typer.Option(help="logs, metrics or events.")] = "logs",
    form: Annotated[str, typer.Option("--format", help="auto, ndjson, parquet, or lines (of a log file).")] = "auto",
    service: Annotated[str, typer.Option(help="Service of plain lines.")] = "",
    env: Env = "",
    host: Annotated[str, typer.Option(help="Host of plain lines.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Load old records: NDJSON, Parquet or log files, each once, with progress; a stopped import goes on."""
    from headwater.commands.import_files import options_of
    from headwater.commands.importing import import_files

    settings = settings_for(data_dir=data_dir)
    raise typer.Exit(import_files(settings, paths, tenant, options_of(kind, form, service, env, host)))


@app.command()
def trace(
    record: Annotated[str, typer.Argument(help="A record's id, or partition:offset:index with --kind.")],
    kind: Annotated[str, typer.Option(help="logs, metrics, events or dead_letters; needed for a place.")] = "",
    tenant: Annotated[str, typer.Option(help="Only records of this tenant.")] = "",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Where a record stands on the bus and in the lake or archive, who sent it, and what made its row."""
    from headwater.commands.trace import trace as run

    raise typer.Exit(run(settings_for(data_dir=data_dir), record, kind, tenant, as_json))


@app.command()
def erase(
    tenant: Annotated[str, typer.Option(help="Whose records.")] = "",
    query: Annotated[str, typer.Option(help="Which of them, in Lucene syntax as in a search.")] = "",
    kind: Annotated[list[str] | None, typer.Option(help="logs, metrics or events; may be given again. [all]")] = None,
    reason: Annotated[str, typer.Option(help="For the receipt.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Complete what was begun and did not end.")] = False,
    no_flows: Annotated[bool, typer.Option("--no-flows", help="No flow runs anywhere: wait for none.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove every record of a subject from all tiers, the dead letters and the bus, and sign a receipt."""
    from headwater.commands.erase import Wanted
    from headwater.commands.erase import erase as run
    from headwater.commands.erase import resume as go_on

    settings = settings_for(data_dir=data_dir)
    if resume:
        raise typer.Exit(go_on(settings, no_flows))
    if not tenant:
        raise ConfigError("whose records is not said", hint="give --tenant and --query")
    raise typer.Exit(run(settings, Wanted(tenant, query, kind or (), reason, no_flows), dry_run, yes))


@receipts_app.command("verify")
def receipts_verify(
    path: Annotated[Path, typer.Argument(help="A file of <data>/receipts.")], data_dir: DataDir = None
) -> None:
    """Whether a receipt is what was signed here."""
    from headwater.commands.erase import verify

    raise typer.Exit(verify(settings_for(data_dir=data_dir), path))


@app.command()
def status(data_dir: DataDir = None, as_json: Json = False) -> None:
    """What is stored where, how far each flow is, and whether every record is accounted for."""
    from headwater.commands.status import status as run

    raise typer.Exit(run(settings_for(data_dir=data_dir), as_json))


@app.command()
def doctor(data_dir: DataDir = None, host: Host = None, port: Port = None, as_json: Json = False) -> None:
    """Check this machine and the data folder, and say what to do."""
    from headwater.doctor.checks import doctor as run

    raise typer.Exit(run(settings_for(data_dir=data_dir, host=host, port=port), as_json))


def main() -> int:
    """Run the command line; one line for an error that says what to do, no traceback."""
    die_with_parent()
    try:
        app()
    except HeadwaterError as error:
        if "--debug" in sys.argv:
            raise
        from headwater.console import print_error

        print_error(error)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, e.g. `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
