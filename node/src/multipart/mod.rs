//! Splits a multipart/form-data body, in place.
