//! The store on a disk that loses power: thousands of seeds, each a few lives long.
//!
//! `SEED=n cargo test -p filegrid --lib store::tests` replays one; `FILEGRID_SEEDS=n` runs that many.
//!
//! That the tests can fail was tried by taking things out of the store, one at a time. A number is the first seed that
//! noticed; a name is the module whose cases did, where seeds seldom come.
//!
//! | taken out | noticed by |
//! |---|---|
//! | sync of the log; of a large blob, of its directory, of the directories above | 0; 0, 0, 0 |
//! | sync of a new segment's directory; of what a killed process had written | 1; 8 |
//! | sync of directories that a killed start had made; a failed sync of a blob is an error | `cases` |
//! | log before rows; rows of a batch in one write; a failed write fences | 0; 0; 1 |
//! | rows persisted before a segment is used again; noted behind it; both at a start | 3; `replay`; `replay` |
//! | pin of a segment, of a large blob, of a staged blob; of a staged one whose client is gone; in a sweep | 0, 0, 7; `pinned`; 44 |
//! | CRC of a batch, of a record, in the scrub | 6, 0, 2 |
//! | search for marks beyond the end, also in segments whose first block is damaged | 9, 55 |
//! | segment of the tree's position found by its number | `replay` |
//! | generation, offset, previous CRC, base of the chain | `journal::codec` |
//! | where a log was closed is compared, and stays noted after a refusal; nothing is written behind it | 3, 3; 0 |
//! | a segment whose first block is damaged keeps its files | `cases` |
//! | places of a replay forgotten after a step; live bytes of moved blobs; versions kept | `replay`; 0; 3 |
//! | reserve against uploads, for deletes, from deletes; purge without room goes on; free segments at a start | `space`; 0 |
//! | abandoned uploads removed; a damaged file among those that are summed | 0; 2 |
//! | bound of a purge, in entries and bytes | `purge` of `filegrid-tree` |

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

use filegrid_journal::sim::{play_all, seeds};

use self::run::Run;

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    play_all(seeds(200), |seed| Run::new(seed).play());
}
