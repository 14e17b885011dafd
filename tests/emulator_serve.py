"""Run an emulator until terminated, and say in one JSON line where it is: `python -m tests.emulator_serve '{"agents": 5}'`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from asyncreport.emulator import Emulator, Options, World, serve


def _tell(emulator: Emulator) -> None:
    print(
        json.dumps(
            {
                "url": emulator.url,
                "client_id": emulator.client_id,
                "client_secret": emulator.client_secret,
            }
        ),
        flush=True,
    )  # noqa: T201


async def main(agents: int, seed: int, options: Options) -> None:
    """Serve until SIGTERM or until the parent closes standard input."""
    serving = asyncio.ensure_future(serve(World(agents, seed), options, up=_tell))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    loop.add_reader(
        sys.stdin, serving.cancel
    )  # end of file: the test's process is gone, however it went
    try:
        await serving
    except asyncio.CancelledError:
        loop.remove_reader(sys.stdin)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(main(given.pop("agents"), given.pop("seed"), Options(**given)))
