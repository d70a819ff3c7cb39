//! Fork and join as a seam: work that is cut into pieces, which run side by side while the caller
//! waits for all of them. Threads in production; in a simulation one thread, and an order drawn
//! from the seed.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::random::{Random, SeededRandom};

/// A piece of work, done slice by slice: each call does one, and answers whether more is left.
pub type Piece<'a> = Box<dyn FnMut() -> bool + Send + 'a>;

/// Runs pieces of work side by side.
pub trait ForkJoin: fmt::Debug + Send + Sync {
    /// How many pieces are worth making: as many as can run at one time, at least 1.
    fn width(&self) -> usize;

    /// Runs every piece to its end, and returns then. A panic in a piece goes on in the caller.
    fn fork_join(&self, name: &'static str, pieces: Vec<Piece<'_>>);
}

/// One piece after another, on the calling thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct InTurn;

impl ForkJoin for InTurn {
    fn width(&self) -> usize {
        1
    }

    fn fork_join(&self, _name: &'static str, pieces: Vec<Piece<'_>>) {
        pieces.into_iter().for_each(|mut piece| while piece() {});
    }
}

/// A thread for each piece, the calling one among them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Threads;

impl ForkJoin for Threads {
    fn width(&self) -> usize {
        thread::available_parallelism().map_or(1, usize::from)
    }

    fn fork_join(&self, name: &'static str, pieces: Vec<Piece<'_>>) {
        let helpers = pieces.len().saturating_sub(1);
        let waiting = Mutex::new(pieces);
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let work = || {
            while let Some(mut piece) = next() {
                while piece() {}
            }
        };
        thread::scope(|scope| {
            for _ in 0..helpers {
                let started =
                    thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
                if let Err(error) = started {
                    // The pieces are still there for those who have started, and for the caller.
                    tracing::warn!(worker = name, %error, "cannot start a thread");
                    break;
                }
            }
            work();
        });
    }
}

/// One slice after another on the calling thread, of a piece that is drawn each time.
#[derive(Debug)]
pub struct Drawn {
    random: SeededRandom,
    width: usize,
}

impl Drawn {
    /// Draws from `seed`, and asks for `width` pieces.
    #[must_use]
    pub fn new(seed: u64, width: usize) -> Self {
        Self { random: SeededRandom::new(seed), width: width.max(1) }
    }
}

impl ForkJoin for Drawn {
    fn width(&self) -> usize {
        self.width
    }

    fn fork_join(&self, _name: &'static str, pieces: Vec<Piece<'_>>) {
        run_drawn(&self.random, pieces, |_| {});
    }
}

/// Runs slices of drawn pieces until all have ended; `ran` is told the number of each piece.
pub(crate) fn run_drawn(random: &dyn Random, pieces: Vec<Piece<'_>>, mut ran: impl FnMut(u64)) {
    let mut left: Vec<(u64, Piece<'_>)> = (0..).zip(pieces).collect();
    while !left.is_empty() {
        let index = usize::try_from(random.below(left.len() as u64)).unwrap_or(0);
        let Some((number, piece)) = left.get_mut(index) else { return };
        ran(*number);
        if !piece() {
            drop(left.remove(index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::clock::ManualClock;
    use crate::runtime::{Runtime, SimRuntime};

    /// Numbers of the pieces in the order in which their slices ran.
    fn order(fork: &dyn ForkJoin) -> Vec<usize> {
        let seen = Mutex::new(Vec::new());
        let pieces = (0..4).map(|number| {
            let (seen, mut left) = (&seen, number + 1);
            let piece: Piece<'_> = Box::new(move || {
                seen.lock().unwrap().push(number);
                left -= 1;
                left > 0
            });
            piece
        });
        fork.fork_join("test", pieces.collect());
        seen.into_inner().unwrap()
    }

    #[test]
    fn every_slice_of_every_piece_runs_once_whoever_runs_it() {
        assert_eq!(order(&InTurn), [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]);
        for fork in [&Threads as &dyn ForkJoin, &Drawn::new(3, 4)] {
            let mut order = order(fork);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 1, 2, 2, 2, 3, 3, 3, 3], "{fork:?}");
        }
        assert!(Threads.width() >= 1 && InTurn.width() == 1);
    }

    #[test]
    fn pieces_run_side_by_side_on_threads() {
        let met = AtomicU64::new(0);
        let pieces = (0..2).map(|_| {
            let (met, mut has_come) = (&met, false);
            let piece: Piece<'_> = Box::new(move || {
                if !has_come {
                    has_come = true;
                    met.fetch_add(1, Ordering::SeqCst);
                }
                thread::yield_now();
                // Ends only when the other has come too.
                met.load(Ordering::SeqCst) < 2
            });
            piece
        });
        Threads.fork_join("test", pieces.collect());
    }

    #[test]
    fn a_drawn_order_is_the_same_for_the_same_seed_and_part_of_the_trace() {
        assert_eq!(order(&Drawn::new(1, 4)), order(&Drawn::new(1, 4)));
        assert!((2..20).any(|seed| order(&Drawn::new(seed, 4)) != order(&Drawn::new(1, 4))));
        let simulated = |seed| {
            let runtime = SimRuntime::new(seed, Arc::new(ManualClock::new(0)));
            let runtime: Arc<dyn Runtime> = Arc::new(runtime);
            order(runtime.as_ref())
        };
        assert_eq!(simulated(1), simulated(1));
        assert!((2..20).any(|seed| simulated(seed) != simulated(1)));
        let traced = |seed| {
            let runtime = SimRuntime::new(seed, Arc::new(ManualClock::new(0)));
            order(&runtime);
            runtime.trace_hash()
        };
        assert_eq!(traced(5), traced(5));
        assert_ne!(traced(5), 0);
    }
}
