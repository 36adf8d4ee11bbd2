"""The bus on a Kafka cluster: topics, partitions, producers and cursors of any number of machines."""
