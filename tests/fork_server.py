"""Requests on a socket -> forks that run a module as `python -m` would, with what it imports loaded already.

    python -m tests.fork_server DESCRIPTOR

`tests.children` starts one and asks it. Each request is one packet: a reply socket, standard input, output and error
as descriptors, and a JSON `Job`. The server answers nothing itself: a watcher process forks the job, sends its pid,
and sends its exit status when it has ended (a negative one is a signal). The server ends with its socket.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import runpy
import socket
import sys

import msgspec

PACKET_BYTES = 200_000
DESCRIPTORS = 4  # reply, and the three standard streams


class Job(msgspec.Struct, frozen=True):
    """`python -m module *words`, with this folder and this environment; `loads` are imported by the server."""

    module: str
    words: list[str]
    folder: str
    environment: dict[str, str]
    loads: list[str]


def serve(requests: socket.socket) -> Job | None:
    """Serve until the other side is gone; returns a job in the process that is to run it, None in the server."""
    while True:
        packet, descriptors, _, _ = socket.recv_fds(requests, PACKET_BYTES, DESCRIPTORS)
        if not packet:
            return None
        job = msgspec.json.decode(packet, type=Job)
        with contextlib.suppress(Exception, SystemExit):  # the job meets it itself, and says so
            for name in (*job.loads, job.module):
                importlib.import_module(name)
        if os.fork() == 0:
            requests.close()
            return _watch(job, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _watch(job: Job, descriptors: list[int]) -> Job:
    """Fork again: the job in the child; the parent reports its pid and its end, and ends."""
    reply, *streams = descriptors
    if child := os.fork():
        for descriptor in streams:
            os.close(descriptor)
        try:
            os.write(reply, str(child).encode())
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(reply, str(status).encode())
        except BrokenPipeError:  # the test has ended
            pass
        os._exit(0)
    os.close(reply)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return job


def _reap() -> None:
    """Watchers that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def run(job: Job) -> None:
    os.chdir(job.folder)
    os.environ.clear()
    os.environ.update(job.environment)
    sys.argv = [job.module, *job.words]
    sys.modules.pop(job.module, None)  # else it would be there twice, as in no other process
    runpy.run_module(job.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        wanted = serve(asked)
    if wanted:
        run(wanted)
