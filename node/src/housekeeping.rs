//! What a shard does beside serving: gives space back, sums files, expires what has had its time.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::api::Prepared;
use crate::auth::Registrar;
use crate::clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::limits;
use crate::metrics::{self, Health, LogHealth};
use crate::ring;
use crate::store::scrub::{Scrub, Scrubbed};
use crate::store::{self, Owner, Shared, Store, StoreError, SumCursor};

/// How often the shard looks after itself.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// Looks in a minute.
const EACH_MINUTE: u64 = 240;
/// Changes and bytes between two looks beyond which background work waits: a few per cent of what a shard can do.
const BUSY_CHANGES: u64 = 100;
const BUSY_BYTES: u64 = 16 << 20;
/// Looks after which sums are made in spite of that: half a minute.
const SUMS_PUT_OFF_MAX: u32 = 120;

/// What a shard looks after beside its connections.
pub(crate) struct Housekeeping<'a> {
    pub owners: &'a [(u8, Rc<Owner>)],
    pub store: &'a Store,
    pub config: &'a Config,
    pub registrar: &'a Registrar,
    pub prepared: &'a Prepared,
    pub health: &'a Health,
}

impl Housekeeping<'_> {
    /// Notes whether there is room for uploads. Has to be known before the first one comes.
    pub(crate) async fn look_at_space(&self) {
        let free = self.store.free_bytes().await;
        let low = free.is_some_and(|free| free < self.config.low_water_bytes);
        self.health.note_space(free.unwrap_or(0), low);
        for (_, owner) in self.owners {
            owner.set_low_on_space(low);
        }
    }

    /// Goes on until the node is to stop.
    ///
    /// # Errors
    ///
    /// If a log is fenced: then there is nothing to be waited for.
    pub(crate) async fn run(&self, number: u8, stop: &AtomicBool) -> Result<(), String> {
        let mut turn = 0_u64;
        // What went wrong in the last turn is said once.
        let mut said = String::new();
        while !stop.load(Ordering::Acquire) {
            ring::sleep(HOUSEKEEPING).await;
            turn += 1;
            self.look_at_space().await;
            self.health.note_drained(self.registrar.is_drained());
            self.store.remove_abandoned().await;
            for (log, owner) in self.owners {
                let health = LogHealth {
                    cut_off: self.registrar.is_cut_off(),
                    ..health_of(owner, self.config)
                };
                owner.set_full(health.full || health.cut_off);
                self.health.note_log(*log, health);
                let mut done = tidy(owner, turn).await;
                if done.is_ok() && turn.is_multiple_of(4) {
                    done = self.end_partials(owner).await;
                }
                if owner.is_fenced() {
                    return Err(format!("log {log} is fenced"));
                }
                match done {
                    Err(error) if error.to_string() != said => {
                        said = error.to_string();
                        tracing::error!(log, %error, "housekeeping failed");
                    }
                    _ => {}
                }
            }
            if turn.is_multiple_of(EACH_MINUTE)
                && let Err(error) = self.store.tend_ids().await
            {
                tracing::error!(%error, "cannot get more ids: in some hours there will be none left");
            }
            if number == 0 && turn.is_multiple_of(EACH_MINUTE) {
                self.prepared.expire();
                tend_keys(self.registrar, self.config).await;
            }
        }
        Ok(())
    }

    /// Ends broken uploads that were kept for as long as the operator wants, and those of accounts that are gone.
    async fn end_partials(&self, owner: &Owner) -> Result<(), StoreError> {
        let registry = self.registrar.current();
        let keep_ms = self.config.raw.keep_partial_s.saturating_mul(1000);
        let oldest = clock::now_ms().saturating_sub(i64::try_from(keep_ms).unwrap_or(i64::MAX));
        let over = |(association, account): &([u8; 16], u64), kept_at: i64| {
            let account = registry.account(uuid::Uuid::from_bytes(*association), *account);
            kept_at <= oldest || account.is_none()
        };
        owner.end_partials(&over).await
    }
}

/// How a log is: full if too much of it waits for the cluster.
fn health_of(owner: &Owner, config: &Config) -> LogHealth {
    let progress = owner.progress();
    let lag_ms = progress.lag_ms(clock::now_ms());
    let unshipped_bytes = owner.unshipped_bytes();
    LogHealth {
        closed: owner.is_closed(),
        full: lag_ms / 1000 >= config.raw.unshipped_max_s
            || unshipped_bytes >> 20 >= config.raw.unshipped_max_mib,
        cut_off: false,
        unshipped_bytes,
        unshipped_changes: progress.applied().saturating_sub(progress.shipped()),
        lag_ms,
    }
}

/// Gives back what is of no more use. `turn` counts the looks.
///
/// # Errors
///
/// If the tree cannot be read or a log is fenced.
pub(crate) async fn tidy(owner: &Rc<Owner>, turn: u64) -> Result<(), StoreError> {
    owner.remove_dead_blobs().await;
    // Some steps at a time, so that requests come in between.
    for _ in 0..8 {
        match owner.purge().await {
            Ok(true) => {}
            // No room for the record of a step: what makes room comes below.
            Ok(false) | Err(StoreError::Full) => break,
            Err(error) => return Err(error),
        }
    }
    if !turn.is_multiple_of(4) {
        return Ok(());
    }
    owner.retry_segments();
    match owner.reclaim().await {
        // Said by what makes segments; tried again in a second.
        Err(StoreError::Full) => Ok(()),
        done => done,
    }
}

async fn tend_keys(registrar: &Registrar, config: &Config) {
    let age_s = config.raw.key_rotation_days * 86_400;
    let tended = registrar.tend_keys(clock::now_s(), age_s, config.raw.token_lifetime_s);
    // That the cluster is away is said already; a key is due long before the one before is of no more use.
    if let Err(error) = tended.await
        && !error.retry_helps()
    {
        tracing::error!(%error, "cannot rotate the signing keys");
    }
}

/// Sums files in the background: gives way to transfers, but not for ever.
pub(crate) async fn sum(store: Store) {
    let mut cursor = SumCursor::default();
    let mut load = Load::default();
    let mut put_off = 0;
    loop {
        ring::sleep(HOUSEKEEPING).await;
        if load.is_high() && put_off < SUMS_PUT_OFF_MAX {
            put_off += 1;
            continue;
        }
        put_off = 0;
        loop {
            match store.sum_some(&mut cursor).await {
                Ok(0) => break,
                Ok(_) => ring::yield_now().await,
                Err(StoreError::Fenced) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot sum files");
                    break;
                }
            }
            if load.is_high() {
                break;
            }
        }
    }
}

/// What the clients of the node do.
#[derive(Default)]
struct Load {
    changes: u64,
    bytes: u64,
}

impl Load {
    /// Whether there has been much to do since it was last asked.
    fn is_high(&mut self) -> bool {
        let changes = metrics::total_via(|via| via.changes.get());
        let bytes = metrics::total_via(|via| via.received.get().wrapping_add(via.sent.get()));
        let more_changes = changes - std::mem::replace(&mut self.changes, changes);
        let more_bytes = bytes - std::mem::replace(&mut self.bytes, bytes);
        more_changes > BUSY_CHANGES || more_bytes > BUSY_BYTES
    }
}

/// Sweeps orphans of some logs, once, and looks after their quarantine from then on.
pub(crate) async fn sweep(shared: Shared, disk: Rc<dyn Disk>, logs: Vec<u8>) {
    for log in &logs {
        if let Err(error) = store::sweep(&shared, &disk, *log, clock::now_s()).await {
            tracing::warn!(log, %error, "cannot sweep orphans");
        }
    }
    loop {
        ring::sleep(Duration::from_secs(limits::QUARANTINE_LOOK_S)).await;
        for log in &logs {
            if let Err(error) = store::tend_quarantine(&shared, &disk, *log, clock::now_s()).await {
                tracing::warn!(log, %error, "cannot look after the quarantine");
            }
        }
    }
}

/// Verifies large files in the background, at so many bytes a second.
pub(crate) async fn scrub(store: Store, bytes_s: u64) {
    let mut scrub = Scrub::default();
    loop {
        let pause_ms = match store.scrub_step(&mut scrub).await {
            Ok(Scrubbed::Bytes(0)) => limits::SCRUB_LOOK_PAUSE_MS,
            Ok(Scrubbed::Bytes(read)) => read * 1000 / bytes_s.max(1),
            Ok(Scrubbed::Round) => limits::SCRUB_PAUSE_MS,
            Err(error) => {
                tracing::warn!(%error, "the scrub cannot read a file");
                limits::SCRUB_PAUSE_MS
            }
        };
        ring::sleep(Duration::from_millis(pause_ms)).await;
    }
}
