"""A load balancer: each connection goes to the next of several ports in turn, or to one that takes it if that does not.

python -m tests.support.balancer --port 8000 8001 8002
"""

import argparse
import asyncio
import itertools
import signal
from contextlib import suppress

CHUNK = 64 * 1024


async def serve(port: int, targets: list[int]) -> None:
    """Balance until SIGTERM."""
    turns = itertools.count()

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        turn = next(turns)
        for place in range(len(targets)):
            with suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", targets[(turn + place) % len(targets)])
        return None

    async def balance(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await connect()
        if there is not None:
            await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))
            there[1].close()
        writer.close()

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with await asyncio.start_server(balance, "127.0.0.1", port, backlog=512):
        await stopping.wait()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until one side has no more to say; then the other is told so."""
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    # Closed and not merely shut down: whoever waits for an answer of a process that was killed must learn of it.
    writer.close()


def main() -> None:
    """Balance from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("targets", type=int, nargs="+")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.targets))


if __name__ == "__main__":
    main()
