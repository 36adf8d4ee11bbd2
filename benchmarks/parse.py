"""Parse: CPU-seconds per million records from a bus message to rows, over a mix of line formats made here.

    python -m benchmarks.parse [--records 20000]

Decompression, decoding, normalising and parsing; no bus and no store. Each format alone, then the corpus of the
end-to-end benchmark. The best of five rounds: others work on the machine, too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import msgspec
import zstandard

from benchmarks.corpus import BASE_NS, lines, stamp
from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import load_settings
from contracts.tenants import tenant_named
from flows.arrivals import Arrival, arrival
from flows.graph import parser

BATCH = 1000
ROUNDS = 5
TENANT = tenant_named("default")


def messages(texts: Sequence[str]) -> list[Arrival]:
    """Lines as an agent ships them: 1,000 a message, packed, with the name of their file."""
    pack = zstandard.ZstdCompressor(level=1).compress
    made = []
    for first in range(0, len(texts), BATCH):
        records = [
            {
                "body": text,
                "observed_timestamp": BASE_NS,
                "service": "shop",
                "env": "bench",
                "host": "host-1",
                "attributes": {"log.file.name": "app.log", "log.file.path": "/var/log/shop/app.log"},
            }
            for text in texts[first : first + BATCH]
        ]
        payload = b"\n".join(map(msgspec.json.encode, records))
        head = BatchHeader(
            tenant=TENANT,
            kind=Kind.LOGS,
            producer="agent",
            stream="app.log",
            sequence=first,
            count=len(records),
            span=len(records),
            received_ns=BASE_NS + 10**15,
            encoding="zstd",
        )
        made.append(arrival(Kind.LOGS, TENANT, 0, Message(pack(payload), to_headers(head), first, BASE_NS)))
    return made


def access_line(number: int) -> str:
    return (
        f"10.0.{number % 256}.{number % 199} - - [01/Jan/2026:00:{number // 60 % 60:02}:{number % 60:02} +0000] "
        f'"GET /catalog/items/{number % 5000}?page={number % 9} HTTP/1.1" 200 {number % 90_000} '
        f'"https://shop.example/catalog" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0"'
    )


def formats(count: int) -> dict[str, list[str]]:
    corpus = [entry.text for entry in lines(count)]
    of = {
        "json": [text for text in corpus if text.startswith("{")],
        "logfmt": [text for text in corpus if text.startswith("ts=")],
        "plain": [text for text in corpus if text.startswith("20")],
        "access log": [access_line(number) for number in range(count)],
        "no format": [f"{stamp(BASE_NS)[20:]} nothing to see in number {number}" for number in range(count)],
    }
    repeated = {name: (texts * (count // len(texts) + 1))[:count] for name, texts in of.items()}
    return {**repeated, "corpus (mix)": corpus}


def cpu_us(texts: Sequence[str]) -> float:
    """CPU-microseconds per record, which is CPU-seconds per million."""
    parse, sent = parser(Kind.LOGS, load_settings()), messages(texts)
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        done = [parse(item) for item in sent]
        rounds.append(time.process_time() - begun)
        rows = sum(len(batch.rows) for batch in done if isinstance(batch, Batch))
        if rows != len(texts):
            raise SystemExit(f"{len(texts)} records in, {rows} rows out")
    return min(rounds) / len(texts) * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=20_000)
    print(f"  {'format':<14} {'B/line':>7} {'CPU-s per million':>18}")
    for name, texts in formats(arguments.parse_args().records).items():
        size = sum(map(len, texts)) / len(texts)
        print(f"  {name:<14} {size:>7.0f} {cpu_us(texts):>18.2f}")


if __name__ == "__main__":
    main()
