//! When requests are made: each as soon as the one before it is answered, or at a rate that waits for nobody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A connection makes the next request when it has the answer to the last. What the server cannot do in time is
    /// not asked for, so a stall shows in one request of each connection only.
    Closed,
    /// So many a second, evenly, whatever the server does. A latency counts from when the request was due, so a stall
    /// shows in all that came due meanwhile.
    Open {
        /// Requests a second.
        per_second: f64,
    },
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// So much time, without the warm-up.
    Time(Duration),
    /// So many requests, without those of the warm-up.
    Requests(u64),
}

/// Leave for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// When it should begin. Its latency counts from here.
    pub due: Instant,
    /// Whether it counts. In the warm-up none does.
    pub counts: bool,
}

/// Hands out turns to all connections.
#[derive(Debug)]
pub struct Schedule {
    pace: Pace,
    until: Until,
    begin: Instant,
    /// When the warm-up ends.
    measured: Instant,
    /// Turns so far, those of the warm-up included if the pace is open.
    taken: AtomicU64,
    stopped: AtomicBool,
}

impl Schedule {
    /// One that begins at a time with a warm-up.
    #[must_use]
    pub fn new(pace: Pace, until: Until, begin: Instant, warm_up: Duration) -> Self {
        Self {
            pace,
            until,
            begin,
            measured: begin + warm_up,
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// When the first request is made.
    #[must_use]
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// When counting begins.
    #[must_use]
    pub fn measured_from(&self) -> Instant {
        self.measured
    }

    /// When the last turn is due at the latest, if that can be told.
    #[must_use]
    pub fn end(&self) -> Option<Instant> {
        match (self.until, self.pace) {
            (Until::Time(time), _) => Some(self.measured + time),
            (Until::Requests(count), Pace::Open { per_second }) => {
                self.due(per_second, self.warm(per_second) + count)
            }
            (Until::Requests(_), Pace::Closed) => None,
        }
    }

    /// The next turn, or none if all are taken.
    pub fn take(&self, now: Instant) -> Option<Turn> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        match self.pace {
            Pace::Closed => self.take_closed(now),
            Pace::Open { per_second } => self.take_open(per_second),
        }
    }

    fn take_closed(&self, now: Instant) -> Option<Turn> {
        let counts = now >= self.measured;
        if counts {
            match self.until {
                Until::Time(time) if now >= self.measured + time => return None,
                Until::Requests(count) if self.taken.fetch_add(1, Ordering::Relaxed) >= count => return None,
                Until::Time(_) | Until::Requests(_) => {}
            }
        }
        Some(Turn { due: now, counts })
    }

    fn take_open(&self, per_second: f64) -> Option<Turn> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let turn = self.turn(per_second, number);
        if turn.is_none() {
            // So that what was taken is what was handed out.
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        turn
    }

    fn turn(&self, per_second: f64, number: u64) -> Option<Turn> {
        let due = self.due(per_second, number)?;
        let over = match self.until {
            Until::Time(time) => due >= self.measured + time,
            Until::Requests(count) => number >= self.warm(per_second) + count,
        };
        let counts = due >= self.measured;
        (!over).then_some(Turn { due, counts })
    }

    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 requests")]
    fn due(&self, per_second: f64, number: u64) -> Option<Instant> {
        let after = Duration::try_from_secs_f64(number as f64 / per_second).ok()?;
        self.begin.checked_add(after)
    }

    /// Requests that are due before counting begins.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates and times are bounded"
    )]
    fn warm(&self, per_second: f64) -> u64 {
        let seconds = self.measured.duration_since(self.begin).as_secs_f64();
        // The last digits of a product of fractions are noise.
        ((seconds * per_second) - 1e-6).ceil().max(0.0) as u64
    }

    /// Hands out no more turns.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether [`Schedule::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether a connection waits for the answer to one request before it makes the next, and nothing else.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.pace == Pace::Closed
    }

    /// Turns that were due by now, count, and were never taken: each with how long it has waited. None unless the pace
    /// is open: at any other, nothing is due that nobody takes.
    pub fn missed(&self, now: Instant) -> Vec<Duration> {
        let Pace::Open { per_second } = self.pace else {
            return Vec::new();
        };
        (self.taken.load(Ordering::Relaxed)..)
            .map_while(|number| self.turn(per_second, number))
            .take_while(|turn| turn.due <= now)
            .filter(|turn| turn.counts)
            .map(|turn| now.duration_since(turn.due))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn open(per_second: f64, until: Until, warm_up: Duration) -> (Schedule, Instant) {
        let begin = clock::now();
        (
            Schedule::new(Pace::Open { per_second }, until, begin, warm_up),
            begin,
        )
    }

    #[test]
    fn an_open_pace_is_even_whatever_the_time_is() {
        let (schedule, begin) = open(4.0, Until::Time(SECOND), SECOND);
        // Everything is asked for an hour later: what is due does not move.
        let turns: Vec<_> = std::iter::from_fn(|| schedule.take(begin + 3600 * SECOND)).collect();
        let due: Vec<_> = turns.iter().map(|turn| (turn.due - begin).as_millis()).collect();
        assert_eq!(due, [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
        let counted: Vec<_> = turns.iter().map(|turn| turn.counts).collect();
        assert_eq!(counted, [false, false, false, false, true, true, true, true]);
    }

    #[test]
    fn an_open_pace_ends_with_its_requests() {
        let (schedule, begin) = open(1000.0, Until::Requests(7), Duration::from_millis(3));
        let turns: Vec<_> = std::iter::from_fn(|| schedule.take(begin)).collect();
        assert_eq!(turns.iter().filter(|turn| turn.counts).count(), 7);
        assert_eq!(turns.len(), 10);
        assert_eq!(schedule.end(), Some(begin + Duration::from_millis(10)));
    }

    #[test]
    fn what_nobody_takes_is_missed() {
        let (schedule, begin) = open(4.0, Until::Time(2 * SECOND), SECOND);
        for _ in 0..5 {
            schedule.take(begin).unwrap();
        }
        let waited: Vec<_> = schedule
            .missed(begin + 2 * SECOND)
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(waited, [750, 500, 250, 0]);
        while schedule.take(begin).is_some() {}
        assert!(schedule.missed(begin + 9 * SECOND).is_empty());
    }

    #[test]
    fn a_closed_pace_is_due_when_it_is_asked() {
        let begin = clock::now();
        let schedule = Schedule::new(Pace::Closed, Until::Time(SECOND), begin, SECOND);
        let at = |seconds: f64| schedule.take(begin + Duration::from_secs_f64(seconds));
        assert!(!at(0.5).unwrap().counts);
        let turn = at(1.5).unwrap();
        assert!(turn.counts && turn.due == begin + Duration::from_secs_f64(1.5));
        assert_eq!(at(2.0), None);
        assert!(schedule.missed(begin + 9 * SECOND).is_empty());

        let schedule = Schedule::new(Pace::Closed, Until::Requests(3), begin, SECOND);
        for _ in 0..5 {
            assert!(
                !schedule.take(begin).unwrap().counts,
                "the warm-up takes none of them"
            );
        }
        assert_eq!((0..9).filter_map(|_| schedule.take(begin + SECOND)).count(), 3);
        assert_eq!(schedule.end(), None);
    }

    #[test]
    fn what_is_stopped_has_no_more_turns() {
        let (schedule, begin) = open(4.0, Until::Time(SECOND), SECOND);
        assert!(schedule.take(begin).is_some());
        schedule.stop();
        assert!(schedule.take(begin).is_none() && schedule.is_stopped());
    }

    proptest! {
        #[test]
        fn as_many_count_as_were_asked_for(
            per_second in 0.5_f64..100_000.0, count in 0_u64..500, warm_up in 0_u64..20,
        ) {
            let (schedule, begin) = open(per_second, Until::Requests(count), Duration::from_millis(warm_up));
            let turns: Vec<_> = std::iter::from_fn(|| schedule.take(begin)).collect();
            prop_assert_eq!(turns.iter().filter(|turn| turn.counts).count() as u64, count);
            prop_assert!(turns.is_sorted_by_key(|turn| turn.due));
        }
    }
}
