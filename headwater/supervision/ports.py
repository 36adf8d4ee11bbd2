"""Ports: an address to listen on -> a port that is free now, or the reason why the port cannot be used."""

from __future__ import annotations

import errno
import socket
import time

from contracts.errors import ConfigError


def take_port(host: str, port: int, patience_s: float = 1.0) -> int:
    """Check that a service can listen on the port and return the port; 0 picks a free port.

    Waits up to `patience_s`, as the children of a killed `up` take a moment to end.

    Raises:
        ConfigError: The port cannot be used; the hint names the remedy.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise ConfigError(_port_trouble(error, host, port), hint=_port_hint(error, port)) from error


def _port_trouble(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use"
    return f'cannot listen on "{host}" port {port}: {error.strerror or error}'


def _port_hint(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"use another: headwater up --port {min(port + 1, 65535)} (0 picks a free port); its user: ss -ltnp"
    return "correct --host or --port; ports below 1024 need privileges"
