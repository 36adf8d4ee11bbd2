"""S3: a bucket and its settings -> a client, and the proof that the bucket can hold Delta tables."""
