//! The runtime of one thread: start, tasks, timers.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::poll::Pollable;

/// Submission entries of a ring: more operations than this at once cost another system call, no more.
const RING_ENTRIES: u32 = 1024;

thread_local! {
    /// A descriptor that is always readable: polling it is a trip through the ring.
    static ALWAYS_READY: RefCell<Option<Rc<Pollable>>> = const { RefCell::new(None) };
}

/// Runs `main` to its end on this thread's own ring, pinned to `core` if one is given.
///
/// Tasks that are still running when `main` ends are dropped.
///
/// # Errors
/// The kernel refuses the ring, the event descriptor or the core.
pub fn run<F: Future>(core: Option<usize>, main: impl FnOnce() -> F) -> io::Result<F::Output> {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set)?;
    }
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .uring_builder(setup())
        .with_entries(RING_ENTRIES)
        .enable_timer()
        .build()?;
    runtime.block_on(async {
        let ready = eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let ready = Rc::new(Pollable::new(ready)?);
        ALWAYS_READY.with(|slot| slot.replace(Some(ready)));
        let output = main().await;
        ALWAYS_READY.with(|slot| slot.replace(None));
        Ok(output)
    })
}

/// A busy shard enters the kernel all the time: completions wait for that instead of interrupting it.
fn setup() -> io_uring::Builder {
    let mut setup = io_uring::IoUring::builder();
    setup.setup_coop_taskrun().setup_single_issuer();
    setup
}

/// Starts a task on this thread's ring.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(task));
}

/// Waits; the resolution is a millisecond.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// Lets every other task, completion and timer that is due have its turn.
pub async fn yield_now() {
    let ready = ALWAYS_READY.with(|slot| slot.borrow().clone());
    if let Some(ready) = ready {
        // A failed poll has been through the ring as well.
        let _ = ready.readable().await;
    }
}
