//! HTTP/1.1: heads, framing, ranges, conditions, replies.

pub mod exchange;
