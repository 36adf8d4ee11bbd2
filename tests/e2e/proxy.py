"""A small TCP proxy: client -> server, which swallows some answers after the server gave them."""

from __future__ import annotations

import contextlib
import random
import socket
import threading


class Proxy:
    """Listens on a free loopback port and forwards to `target` (a port). Some connections lose their answers.

    A connection is *cut* with probability `cut_share`: the request goes through in full, then the first byte of the
    answer closes both sides. The client cannot know whether it was heard.
    """

    def __init__(self, target: int, cut_share: float, seed: int) -> None:
        self._target = target
        self._share = cut_share
        self._rng = random.Random(seed)
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if answers and self._rng.random() < self._share:
                    self.cuts += 1
                    break
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()
