//! Which seeds a simulation plays, and on how many cores.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The one seed that the variable `SEED` names; else as many as `FILEGRID_SEEDS` says, or `usual`.
///
/// # Panics
///
/// A variable is no number.
#[must_use]
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name}: {text} is no number")),
        )
    };
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FILEGRID_SEEDS").unwrap_or(usual),
    }
}

/// Plays each seed, on all cores: none needs another.
///
/// # Panics
///
/// One of them has. It is named, and no more are begun.
pub fn play_all(seeds: impl Iterator<Item = u64> + Send, play: impl Fn(u64) + Sync) {
    let (seeds, failed) = (Mutex::new(seeds), AtomicBool::new(false));
    let next = || seeds.lock().ok()?.next();
    let work = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(seed) = next()
        {
            if catch_unwind(AssertUnwindSafe(|| play(seed))).is_err() {
                eprintln!("seed {seed} failed: replay it with SEED={seed}");
                failed.store(true, Ordering::Relaxed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    assert!(!failed.into_inner(), "a seed failed");
}
