"""Run an emulator until it is terminated: `python -m tests.emulator_serve '{"agents": 5}'`.

It prints its address and credentials as one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from asyncreport.emulator import Emulator, Options, World, serve


def _print_address(emulator: Emulator) -> None:
    address = {
        "url": emulator.url,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
    }
    sys.stdout.write(json.dumps(address) + "\n")
    sys.stdout.flush()


async def main(agents: int, seed: int, options: Options) -> None:
    """Serve until SIGTERM, or until the parent closes standard input."""
    serving = asyncio.ensure_future(serve(World(agents, seed), options, up=_print_address))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    # End of file: the test's process has ended, also if it was killed.
    loop.add_reader(sys.stdin, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        loop.remove_reader(sys.stdin)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    asyncio.run(main(settings.pop("agents"), settings.pop("seed"), Options(**settings)))
