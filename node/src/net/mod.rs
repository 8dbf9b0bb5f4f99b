//! Listeners, admission and the connections of a shard.
