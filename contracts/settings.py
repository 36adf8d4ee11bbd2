"""Every setting: environment variables with the prefix `HEADWATER_`, or a file `.env` in the working directory.

Each limit has a default, and its name ends with its unit. A test checks that `docs/settings.md` names them all.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import ConfigError

MIB = 1 << 20


class Settings(BaseSettings):
    """All settings, frozen. Each composition root makes them once and passes them down."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path = Field(
        Path("data"), description="Folder of everything embedded: bus, hot store, lake, keys, state."
    )
    bus_url: str = Field("", description="Bus; empty is sqlite:///<data>/bus.db.")
    hot_url: str = Field("", description="Hot store; empty is tantivy:///<data>/hot.")
    lake_url: str = Field("", description="Delta tables: a folder or URL; empty is <data>/lake.")
    archive_url: str = Field("", description="Delta tables of old days: a folder or URL; empty is <data>/archive.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Level of our own JSON logs.")

    bus_partitions: int = Field(2, ge=1, le=1023, description="Partitions of a new topic.")
    bus_group_commit_ms: float = Field(
        3.0, ge=0, le=1000, description="Longest time that an append waits for others to share its sync."
    )
    bus_retention_h: float = Field(72.0, gt=0, description="Age after which consumed messages leave the bus.")
    bus_retention_mib: int = Field(
        4096, ge=16, description="Size of the bus file above which the oldest consumed messages leave."
    )
    bus_max_mib: int = Field(
        16384, ge=16, description="Size of the bus file above which appends are refused (503 bus_unavailable)."
    )
    bus_risk_percent: float = Field(
        50.0, gt=0, le=100, description="Share of Kafka's retention past which an unread message raises an alert."
    )
    bus_replication: int = Field(
        0, ge=0, le=32, description="Kafka: copies of a new topic; 0 is those of bus/topics.toml, or of all brokers."
    )
    bus_topics_apply: bool = Field(True, description="Kafka: create a missing topic at its first use.")
    bus_group: str = Field(
        "headwater", min_length=1, max_length=249, description="Kafka: consumer group that shows progress to tools."
    )
    bus_security_protocol: str = Field(
        "plaintext",
        pattern="^(plaintext|ssl|sasl_plaintext|sasl_ssl)$",
        description="Kafka: security protocol of the brokers.",
    )
    bus_sasl_mechanism: str = Field(
        "SCRAM-SHA-512", pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$", description="Kafka: SASL mechanism."
    )
    bus_sasl_user: str = Field("", description="Kafka: SASL user name.")
    bus_sasl_password: SecretStr = Field(SecretStr(""), description="Kafka: SASL password.")
    bus_tls_ca: Path | None = Field(None, description="Kafka: file of CA certificates; empty is those of the system.")
    bus_tls_certificate: Path | None = Field(None, description="Kafka: file of the client certificate, PEM.")
    bus_tls_key: Path | None = Field(None, description="Kafka: file of the client certificate's key, PEM.")
    bus_kafka_options: str = Field("", description="Kafka: further options of librdkafka, name=value, by spaces.")

    ingest_url: str = Field("", description="Agent: base URL of the ingestion service.")
    api_key: SecretStr = Field(SecretStr(""), description="Agent and command line: the key.")
    query_url: str = Field(
        "",
        description="Command line: base URL of the query service; empty is HEADWATER_INGEST_URL or http://127.0.0.1:8080.",
    )

    agent_dir: Path | None = Field(None, description="Agent: buffer, positions, counters; empty is <data>/agent.")
    agent_host: str = Field("", description="Agent: host of its records; empty is the name of this machine.")
    agent_buffer_mib: int = Field(512, ge=1, description="Agent: size of the disk buffer; when full, reading stops.")
    agent_segment_mib: int = Field(8, ge=1, description="Agent: size of one buffer segment.")
    agent_batch_records: int = Field(4000, ge=1, le=10_000, description="Agent: most records of a request.")
    agent_batch_kib: int = Field(2048, ge=1, description="Agent: most bytes of a request before compression.")
    agent_batch_wait_s: float = Field(0.5, ge=0, description="Agent: how long a part-filled batch waits.")
    agent_line_kib: int = Field(256, ge=1, description="Agent: a longer line or record is split, with a flag.")
    agent_multiline_lines: int = Field(2000, ge=2, description="Agent: most lines of a record; more are split off.")
    agent_multiline_s: float = Field(1.0, gt=0, description="Agent: how long a record waits for its next line.")
    agent_partial_line_s: float = Field(5.0, gt=0, description="Agent: how long a last line without newline is held.")
    agent_copy_wait_s: float = Field(10.0, ge=0, description="Agent: how long the original of a copy may stay.")
    agent_open_files: int = Field(10_000, ge=1, description="Agent: most files that are held open at a time.")
    agent_poll_s: float = Field(0.25, gt=0, description="Agent: pause between polls of files without new lines.")
    agent_compression: str = Field(
        "zstd", pattern="^(zstd|gzip|none)$", description="Agent: content encoding of requests."
    )
    agent_retry_max_s: float = Field(30.0, gt=0, description="Agent: longest pause between retries.")
    agent_timeout_s: float = Field(30.0, gt=0, description="Agent: how long a request may take.")

    ingest_body_mib: int = Field(16, ge=1, description="Ingestion: largest body after decompression; larger: 413.")
    ingest_wire_mib: int = Field(16, ge=1, description="Ingestion: largest body as sent; larger: 413.")
    ingest_batch_records: int = Field(10_000, ge=1, le=65_536, description="Ingestion: most records of a request.")
    ingest_record_kib: int = Field(1024, ge=1, description="Ingestion: largest record.")
    ingest_attributes: int = Field(
        256, ge=1, description="Ingestion: most attributes of a record, nested ones included."
    )
    ingest_depth: int = Field(16, ge=2, le=256, description="Ingestion: deepest nesting of a record.")
    ingest_unknown_fields: str = Field(
        "attributes",
        pattern="^(attributes|refuse)$",
        description="Ingestion, flows: unknown fields of logs and events become attributes, or the record is refused.",
    )
    ingest_header_timeout_s: float = Field(10.0, gt=0, description="Ingestion: deadline for a request's headers.")
    ingest_body_timeout_s: float = Field(30.0, gt=0, description="Ingestion: deadline for a request's body.")
    ingest_bus_timeout_s: float = Field(
        8.0, gt=0, description="Ingestion: deadline from body to bus; past it, 503 outcome_unknown."
    )
    ingest_breaker_failures: int = Field(
        5, ge=1, description="Ingestion: appends in a row that must fail to open the breaker."
    )
    ingest_breaker_open_s: float = Field(
        5.0, gt=0, description="Ingestion: how long an open breaker refuses before it tries one request."
    )
    ingest_records_per_s: float = Field(0, ge=0, description="Ingestion: rate limit per tenant, records/s; 0 is none.")
    ingest_bytes_per_s: float = Field(
        0, ge=0, description="Ingestion: rate limit per tenant, bytes/s after decompression; 0 is none."
    )
    ingest_burst_s: float = Field(
        10.0, gt=0, description="Ingestion: seconds of the rate limits that may be used at once."
    )
    ingest_concurrency: int = Field(
        64, ge=1, description="Ingestion: requests in work at once; more wait, then 503 overloaded."
    )
    ingest_buffer_mib: int = Field(
        256, ge=1, description="Ingestion: memory of all bodies on their way in; past it, 503 overloaded."
    )
    idempotency_h: float = Field(24.0, gt=0, description="How long an Idempotency-Key is remembered.")
    idempotency_keys: int = Field(
        500_000, ge=1, description="Idempotency-Keys remembered per bus partition; the oldest go first."
    )
    flow_streams: int = Field(
        100_000, ge=1, description="Flows: streams of producers remembered per bus partition; the oldest go first."
    )

    foreign_tenant: str = Field("default", description="Tenant of bus messages without headers.")
    future_limit_s: float = Field(
        86_400.0, gt=0, description="An event time further ahead of arrival is kept and flagged."
    )
    past_limit_days: float = Field(
        3650.0, gt=0, description="Logs, events: an event time further before arrival is kept and flagged."
    )
    timezone: str = Field(
        "UTC", min_length=1, max_length=64, description="Zone of a time in a text that names none, unless sent along."
    )
    timezones: str = Field("", description="Exceptions from it by service: service=zone, by commas.")
    flow_poll_ms: float = Field(50.0, gt=0, description="Flows: pause between polls of a bus without new messages.")
    flow_workers: int = Field(
        1, ge=1, le=64, description="Flows: workers of a process, threads that share its partitions."
    )
    store_patience_s: float = Field(
        3.0,
        gt=0,
        le=60,
        description="Flows: longest failure or write of one store; after that the other store continues without it.",
    )
    hot_commit_s: float = Field(0.5, gt=0, description="Flows: most time between commits of the hot store.")
    hot_heap_mib: int = Field(64, ge=15, description="Tantivy: memory of the index writer of one kind.")
    opensearch_prefix: str = Field(
        "headwater", pattern="^[a-z][a-z0-9_-]{0,62}$", description="OpenSearch: prefix of all index names."
    )
    opensearch_user: str = Field("", description="OpenSearch: user; empty is none.")
    opensearch_password: SecretStr = Field(SecretStr(""), description="OpenSearch: password of the user.")
    opensearch_ca_file: Path | None = Field(
        None, description="OpenSearch: certificate authority for opensearchs://; empty is the system's."
    )
    opensearch_verify: bool = Field(True, description="OpenSearch: check the certificate of opensearchs://.")
    opensearch_shards: int = Field(1, ge=1, le=1024, description="OpenSearch: shards of a new index.")
    opensearch_replicas: int = Field(
        1, ge=0, le=10, description="OpenSearch: most copies of a new index; a single node keeps none."
    )
    opensearch_refresh_s: float = Field(
        30.0, ge=0.1, description="OpenSearch: refresh interval of a new index; a commit refreshes by itself."
    )
    opensearch_timeout_s: float = Field(5.0, gt=0, description="OpenSearch: how long a read may take.")
    opensearch_write_timeout_s: float = Field(
        30.0, gt=0, description="OpenSearch: deadline of a write, with its retries while OpenSearch is overloaded."
    )
    opensearch_bulk_docs: int = Field(2000, ge=1, le=50_000, description="OpenSearch: most documents of a request.")
    opensearch_bulk_mib: int = Field(8, ge=1, le=90, description="OpenSearch: most bytes of a request.")
    opensearch_requests: int = Field(2, ge=1, le=64, description="OpenSearch: write requests in flight.")
    lake_commit_s: float = Field(10.0, gt=0, description="Flows: most time between commits of the lake.")
    lake_commit_rows: int = Field(  # 150,000 took 250 MiB and were no faster
        50_000, ge=1, description="Flows: rows after which the lake commits at once."
    )

    s3_endpoint: str = Field("", description="Lake on S3: base URL of the server; empty is AWS_ENDPOINT_URL, or AWS.")
    s3_region: str = Field("", description="Lake on S3: region; empty is AWS_REGION, or us-east-1.")
    s3_path_style: bool = Field(True, description="Lake on S3: bucket in the path, not in the host name.")
    s3_access_key: SecretStr = Field(SecretStr(""), description="Lake on S3: access key; empty is the AWS environment.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Lake on S3: secret key; empty is the AWS environment.")
    s3_ca_file: str = Field("", description="Lake on S3: PEM file of an authority trusted beside the system's.")
    s3_connect_timeout_s: float = Field(2.0, gt=0, description="Lake on S3: how long connecting may take.")
    s3_query_timeout_s: float = Field(4.0, gt=0, description="Lake on S3: how long a request of a query may take.")
    s3_write_timeout_s: float = Field(15.0, gt=0, description="Lake on S3: how long a request of the flow may take.")
    lake_vacuum_h: int = Field(
        24, ge=24, description="Lake: age after which vacuum deletes what no version uses, and unfinished uploads."
    )
    compaction_runs: int = Field(
        2_000_000,
        ge=1,
        description="Batch tiers: runs of record ids that repeats are counted of; of more streams, a share is counted.",
    )
    retention_file: str = Field("", description="Tiers: the retention policy; empty is <data>/retention.toml.")

    erase_look_s: float = Field(5.0, gt=0, description="Flows: longest time between checks for new erasures.")
    erase_wait_s: float = Field(
        120.0, gt=0, description="Erasing: longest wait for the flows to land all records accepted before."
    )
    erase_grace_s: float = Field(
        60.0, ge=0, description="Erasing: time for running queries to finish before their files are deleted."
    )

    dagster_port: int = Field(3070, ge=0, le=65535, description="Batch tiers: port of the UI; 0 takes a free one.")
    dagster_host: str = Field("127.0.0.1", description="Batch tiers: address of the UI, which requires no key.")
    dagster_runs: int = Field(1, ge=1, le=64, description="Batch tiers: most runs at once, each a process.")
    dagster_short_run_d: int = Field(
        7, ge=1, description="Batch tiers: retention of the records of runs that start every hour or more often."
    )
    dagster_run_d: int = Field(400, ge=1, description="Batch tiers: retention of the records of all other runs.")
    dagster_postgres_url: SecretStr = Field(
        SecretStr(""),
        description="Batch tiers: Postgres that holds Dagster's records; empty is SQLite in <data>/dagster.",
    )
    alert_webhook_url: SecretStr = Field(
        SecretStr(""), description="Batch tiers: webhook that gets each failed run as JSON; empty is none."
    )
    alert_webhook_timeout_s: float = Field(5.0, gt=0, description="Batch tiers: deadline of one post to the webhook.")
    alert_webhook_retry_h: float = Field(
        24.0, gt=0, description="Batch tiers: time for which the post of an alert is retried before it is dropped."
    )
    alert_webhook_retry_max_s: float = Field(
        300.0, gt=0, description="Batch tiers: longest back-off between two posts; the back-off doubles from 2 s."
    )
    alert_queue: int = Field(
        1000, ge=1, description="Batch tiers: most alerts that wait for webhook or bus; beyond, the oldest are dropped."
    )

    tail_poll_s: float = Field(0.5, gt=0, description="Tails: pause between looks at the hot store.")
    tail_connections: int = Field(64, ge=1, description="Tails: most that are open in one process; more is 429.")
    tail_tenant_connections: int = Field(16, ge=1, description="Tails: most of one tenant in one process; more is 429.")
    tail_buffer_kib: int = Field(
        8192, ge=1, description="Tails: records that wait for one reader; past it records are skipped, and counted."
    )
    tail_heartbeat_s: float = Field(15.0, gt=0, description="Tails: longest silence on a connection.")
    http_write_timeout_s: float = Field(
        60.0, gt=0, description="Services: a client that takes nothing of its answer for so long is cut off."
    )

    query_chars: int = Field(2048, ge=1, description="Query: longest text.")
    query_depth: int = Field(32, ge=1, description="Query: deepest nesting.")
    query_clauses: int = Field(256, ge=1, description="Query: most clauses.")
    query_rows: int = Field(10_000, ge=1, description="Query: most rows of a page.")
    query_points: int = Field(11_000, ge=1, description="Query: most points of a metric series.")
    query_look_back_s: float = Field(
        300.0, gt=0, description="Query: longest gap between two samples across which `rate` counts."
    )
    query_sketch_h: float = Field(
        24.0, ge=0, description="Query: shortest range whose metric percentiles come from rollups, within 1 %."
    )
    query_timeout_s: float = Field(20.0, gt=0, description="Query: deadline of a query; past it, 504.")
    query_concurrency: int = Field(4, ge=1, description="Query: most lake queries at once.")
    query_memory_mib: int = Field(256, ge=16, description="Query: memory of one lake query.")

    host: str = Field("127.0.0.1", description="Address the services listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port of `headwater up`; 0 takes a free one.")

    @cached_property
    def data(self) -> Path:
        return self.data_dir.expanduser().resolve()

    @property
    def bus(self) -> str:
        return self.bus_url or f"sqlite:///{self.data / 'bus.db'}"

    @property
    def hot(self) -> str:
        return self.hot_url or f"tantivy:///{self.data / 'hot'}"

    @property
    def lake(self) -> str:
        return self.lake_url or str(self.data / "lake")

    @property
    def archive(self) -> str:
        return self.archive_url or str(self.data / "archive")

    @property
    def keys_file(self) -> Path:
        return self.data / "keys" / "keys.json"

    @property
    def agent_home(self) -> Path:
        return self.agent_dir or self.data / "agent"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` win.

    Raises:
        ConfigError: A value is out of range or of the wrong type; the message names the variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "HEADWATER_" + "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"{name}: {first['msg']} (got {first['input']!r})", hint="see docs/settings.md") from error
