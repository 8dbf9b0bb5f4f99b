//! Numbers of starts: this one's, and further ones for whoever has used up the ids of this one.

use std::path::PathBuf;
use std::rc::Rc;

use futures::lock::Mutex;

use super::log::Position;
use super::{State, StoreError};
use crate::disk::Disk;

/// The state of a node while it runs; all shards take numbers of starts from it.
pub struct Starts {
    data: PathBuf,
    /// As it is on the disk.
    state: Mutex<State>,
}

impl Starts {
    /// Goes on from a state that is durable.
    #[must_use]
    pub fn new(data: PathBuf, state: State) -> Self {
        Self {
            data,
            state: Mutex::new(state),
        }
    }

    /// The number of a further start, durable and nobody else's.
    ///
    /// # Errors
    ///
    /// If the disk refuses, or the numbers are used up.
    pub async fn claim(&self, disk: &Rc<dyn Disk>) -> Result<u32, StoreError> {
        let mut state = self.state.lock().await;
        let next = state.next_start()?;
        next.save(disk, &self.data).await?;
        *state = next;
        Ok(state.starts)
    }

    /// Has the numbers that are given out from now on be above one.
    ///
    /// # Errors
    ///
    /// If the disk refuses, or there are none above it.
    pub async fn raise(&self, disk: &Rc<dyn Disk>, to: u32) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        if state.starts < to {
            let raised = state.raised(to)?;
            raised.save(disk, &self.data).await?;
            *state = raised;
        }
        Ok(())
    }

    /// Notes where the logs were closed.
    ///
    /// # Errors
    ///
    /// If the disk refuses.
    pub async fn close(&self, disk: &Rc<dyn Disk>, closed: Vec<Position>) -> Result<(), StoreError> {
        let state = State {
            closed: Some(closed),
            ..self.state.lock().await.clone()
        };
        state.save(disk, &self.data).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use filegrid_tree::STARTS_MAX;
    use futures::executor::block_on;

    use super::*;
    use crate::disk::sim::{Faults, SimDisk};

    fn state(starts: u32) -> State {
        State {
            starts,
            ..State::fresh(1).unwrap()
        }
    }

    async fn make_data(disk: &SimDisk) {
        disk.create_dir("/data".as_ref()).await.unwrap();
        disk.sync_dir("/".as_ref()).await.unwrap();
    }

    /// What the disk has when its power was cut.
    async fn after_power_cut(sim: &SimDisk) -> State {
        let disk: Rc<dyn Disk> = Rc::new(sim.power_cycle(Faults::default()));
        State::load(&disk, Path::new("/data")).await.unwrap().unwrap()
    }

    #[test]
    fn what_was_claimed_is_durable_and_survives_the_end() {
        let sim = SimDisk::new(1, Faults::default());
        let disk: Rc<dyn Disk> = Rc::new(sim.clone());
        let data = PathBuf::from("/data");
        block_on(async {
            make_data(&sim).await;
            let starts = Starts::new(data.clone(), state(4));
            let claims = [starts.claim(&disk), starts.claim(&disk), starts.claim(&disk)];
            let mut claimed = futures::future::join_all(claims).await;
            let mut claimed: Vec<_> = claimed.drain(..).map(Result::unwrap).collect();
            claimed.sort_unstable();
            assert_eq!(claimed, [5, 6, 7]);
            starts.close(&disk, vec![Position::default()]).await.unwrap();
            let found = after_power_cut(&sim).await;
            assert_eq!((found.starts, found.closed), (7, Some(vec![Position::default()])));
        });
    }

    #[test]
    fn a_claim_that_power_cuts_short_is_nobodys() {
        let data = PathBuf::from("/data");
        for crash_at in 3..20 {
            let faults = Faults {
                crash_at: Some(crash_at),
                ..Faults::default()
            };
            let sim = SimDisk::new(crash_at, Faults::default());
            let disk: Rc<dyn Disk> = Rc::new(sim.clone());
            block_on(async {
                make_data(&sim).await;
                state(4).save(&disk, &data).await.unwrap();
                sim.set_faults(faults);
                let starts = Starts::new(data.clone(), state(4));
                let mut last = 4;
                for next in 5..30 {
                    let Ok(claimed) = starts.claim(&disk).await else {
                        break;
                    };
                    assert_eq!(claimed, next);
                    last = claimed;
                }
                assert!(sim.is_down());
                let found = after_power_cut(&sim).await;
                assert!(
                    found.starts == last || found.starts == last + 1,
                    "{} after {last}",
                    found.starts
                );
            });
        }
    }

    #[test]
    fn numbers_that_others_have_had_are_left_out() {
        let sim = SimDisk::new(1, Faults::default());
        let disk: Rc<dyn Disk> = Rc::new(sim.clone());
        let data = PathBuf::from("/data");
        block_on(async {
            make_data(&sim).await;
            let starts = Starts::new(data.clone(), state(4));
            for to in [9, 7, 9] {
                starts.raise(&disk, to).await.unwrap();
            }
            assert_eq!(State::load(&disk, &data).await.unwrap().unwrap().starts, 9);
            assert_eq!(starts.claim(&disk).await.unwrap(), 10);
            let beyond = starts.raise(&disk, STARTS_MAX + 1).await;
            assert!(matches!(beyond, Err(StoreError::Refused(_))), "{beyond:?}");
            assert_eq!(after_power_cut(&sim).await.starts, 10);
        });
    }

    #[test]
    fn the_last_start_is_followed_by_none() {
        let last = state(STARTS_MAX - 1).next_start().unwrap();
        assert_eq!(last.starts, STARTS_MAX);
        assert!(matches!(last.next_start(), Err(StoreError::Refused(_))));
    }
}
