"""Serve the emulator until a signal stops it."""

from __future__ import annotations

import json

from asyncreport import emulator
from asyncreport.core.errors import ConfigError
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stdout import show


def execute(
    *,
    port: int,
    agents: int,
    seed: int,
    requests_per_minute: int,
    latency: float,
) -> None:
    """Serve an emulated organisation and print its address; `latency` is in seconds.

    Raise ConfigError if the port cannot be used.
    """
    world = emulator.World(agents=agents, seed=seed)
    options = emulator.Options(
        requests_per_minute=requests_per_minute,
        latency=latency,
    )
    try:
        run_until_signal(emulator.serve(world, options, port=port, up=_show_address))
    except Stopped:
        # A signal is the usual end of this command.
        return
    except BrokenPipeError:
        # Of stdout, not of the port: nobody reads the address.
        raise
    except OSError as error:
        raise _unusable(port, error) from error


def _unusable(port: int, error: OSError) -> ConfigError:
    """Make the error for a port that cannot be used."""
    return ConfigError(
        f"--port: cannot serve port {port} of 127.0.0.1: {error.strerror}; "
        "use another port, or 0 for a free one"
    )


def _show_address(server: emulator.Emulator) -> None:
    """Print what a client needs, as one line of JSON."""
    address = {
        "url": server.url,
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    show(json.dumps(address))
