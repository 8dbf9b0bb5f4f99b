//! From the parts of an upload to blobs.
