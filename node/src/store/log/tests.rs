//! Seeded runs on the simulated disk.
