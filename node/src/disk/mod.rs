//! Files behind one trait, so that the store runs on a simulated disk too.
