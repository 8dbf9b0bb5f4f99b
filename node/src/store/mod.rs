//! The shard log, blobs and the local tree: where a change becomes durable.
