"""The command line: `reelkeep …`."""

import click

from app.cli.commands import Commands, Unloaded

#: where each command is, and the first sentence of its help
COMMANDS = {
    "up": ("app.cli.up:up", "Run everything on this machine: web, workers, beat and Flower."),
    "demo": ("app.cli.demo:demo", "See every path of Reelkeep at work, on real parts."),
    "simulator": ("app.simulator.command:simulator", "Run a stand-in for the vendor's video API on this machine."),
    "track": ("app.cli.generations:track", "Track generations that were submitted elsewhere."),
    "generate": ("app.cli.generations:generate", "Submit a generation to the vendor."),
    "extend": ("app.cli.generations:extend", "Extend a generation: a new segment, and the whole video."),
    "show": ("app.cli.generations:show", "Show one generation and its renditions."),
    "list": ("app.cli.generations:list_generations", "List generations, newest first."),
    "retry": ("app.cli.generations:retry", "Try again what failed."),
    "upgrade": ("app.cli.generations:upgrade", "Buy an upgrade of one result."),
    "import": ("app.cli.importing:import_ids", "Save what still lives of old task ids, and say what is gone."),
    "replay": ("app.cli.replay:replay", "Run recorded callbacks again: nothing may come of it."),
    "rebuild": ("app.cli.rebuild:rebuild", "Rebuild a lost ledger from the bucket's manifests."),
    "audit": ("app.cli.audit:audit", "Show what credits went into and what came of it."),
    "doctor": ("app.cli.doctor:doctor", "Look at everything that Reelkeep stands on; say what to mend."),
}


@click.group(
    cls=Commands,
    commands=[Unloaded(name, *rest) for name, rest in COMMANDS.items()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="reelkeep")
def main() -> None:
    """Reelkeep keeps every video that you pay for at KIE.AI.

    It receives the vendor's callbacks, mirrors each video into your S3 bucket before the links die, buys the upgrades that you
    ask for, once, and asks about every generation whose callback never came.

    Settings come from the environment or a .env file; `reelkeep doctor` says whether they are right. Every command prints JSON
    with --json, and its help ends with examples and exit statuses.
    """
