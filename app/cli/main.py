"""The command line: `reelkeep …`."""

import click

from app.cli.audit import audit
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.generations import extend, generate, list_generations, retry, show, track, upgrade
from app.cli.importing import import_ids
from app.cli.rebuild import rebuild
from app.cli.replay import replay
from app.cli.terminal import Commands
from app.cli.up import up
from app.simulator.command import simulator


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="reelkeep")
def main() -> None:
    """Reelkeep keeps every video that you pay for at KIE.AI.

    It receives the vendor's callbacks, mirrors each video into your S3 bucket before the links die, buys the upgrades that you
    ask for, once, and asks about every generation whose callback never came.

    Settings come from the environment or a .env file; `reelkeep doctor` says whether they are right. Every command prints JSON
    with --json, and its help ends with examples and exit statuses.
    """


for command in (up, demo, simulator):
    main.add_command(command)
for command in (track, generate, extend, show, list_generations, retry, upgrade):
    main.add_command(command)
for command in (import_ids, replay, rebuild, audit, doctor):
    main.add_command(command)
