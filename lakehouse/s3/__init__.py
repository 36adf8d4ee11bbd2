"""S3: a bucket and its settings -> a client that is safe to keep Delta tables on."""
