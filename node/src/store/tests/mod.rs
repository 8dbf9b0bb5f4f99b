//! The store on a disk that loses power: thousands of seeds, each a few lives long.
//!
//! `SEED=n cargo test -p filegrid --lib store::tests` replays one; `FILEGRID_SEEDS=n` runs that many.

mod audit;
mod cases;
mod client;
mod damage;
mod group;
mod life;
mod orphans;
mod partial;
mod pinned;
mod reader;
mod replay;
mod run;
mod space;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use self::run::Run;

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    if let Ok(seed) = std::env::var("SEED") {
        return Run::new(seed.parse().unwrap()).play();
    }
    let seeds = std::env::var("FILEGRID_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(200);
    // A seed needs no other: every core takes the next.
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds) {
            if std::panic::catch_unwind(|| Run::new(seed).play()).is_err() {
                eprintln!("seed {seed} failed: replay it with SEED={seed}");
                failed.store(true, Ordering::Relaxed);
                return;
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    assert!(!failed.load(Ordering::Relaxed));
}
