//! Turns for the work of handshakes, so that a crowd of them leaves the processors to the others.
//!
//! A handshake is a millisecond of arithmetic, and a thousand clients that reconnect at once are a
//! second of it: as tasks that are all ready they would stand before every other task. So few work
//! at one time, peer by peer, and one that waits for its client's bytes holds no turn.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::peer_shares::Peer;

/// The turns of all handshakes. A cheap clone.
#[derive(Clone, Debug)]
pub struct HandshakeTurns {
    /// First come, first served; each peer stands here once at most.
    all: Arc<Semaphore>,
    /// Where the handshakes of one peer wait for each other; only peers that have some.
    by_peer: Arc<Mutex<HashMap<Peer, Line>>>,
}

/// The handshakes of one peer.
#[derive(Debug)]
struct Line {
    handshakes: usize,
    turn: Arc<Semaphore>,
}

/// The place of one handshake in its peer's line.
struct Place<'a> {
    turns: &'a HandshakeTurns,
    peer: Peer,
    turn: Arc<Semaphore>,
}

impl HandshakeTurns {
    /// Turns for `at_once` handshakes at one time.
    pub fn new(at_once: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(at_once.max(1))), by_peer: Arc::default() }
    }

    /// Runs the `work` of a handshake of `peer`, each step of it in its turn. Cancel-safe as
    /// `work` is.
    pub async fn take<F: Future>(&self, peer: Peer, work: F) -> F::Output {
        let mut work = pin!(work);
        let place = self.line_up(peer);
        loop {
            let closed = "nobody closes the semaphores";
            let of_peer = place.turn.acquire().await.expect(closed);
            let of_all = self.all.acquire().await.expect(closed);
            let step = futures::poll!(work.as_mut());
            drop((of_all, of_peer));
            match step {
                Poll::Ready(done) => return done,
                // Its waker is this task's: polled again, there may be more to do.
                Poll::Pending => futures::pending!(),
            }
        }
    }

    fn line_up(&self, peer: Peer) -> Place<'_> {
        let mut by_peer = self.by_peer.lock();
        let line = by_peer
            .entry(peer)
            .or_insert_with(|| Line { handshakes: 0, turn: Arc::new(Semaphore::new(1)) });
        line.handshakes += 1;
        Place { turns: self, peer, turn: line.turn.clone() }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut by_peer = self.turns.by_peer.lock();
        if let Some(line) = by_peer.get_mut(&self.peer) {
            line.handshakes -= 1;
            if line.handshakes == 0 {
                by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;
    use futures::stream::{FuturesUnordered, StreamExt as _};
    use tokio::sync::Notify;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::at([10, 0, 0, last].into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_one_peer_stands_behind_each_other_and_before_nobody() {
        let turns = HandshakeTurns::new(1);
        let order = Mutex::new(vec![]);
        let handshake = |number: u8| {
            let (turns, order) = (turns.clone(), &order);
            async move {
                turns.take(peer(number), async { order.lock().push(number) }).await;
            }
        };
        let held = turns.all.acquire().await.expect("open");
        let mut all: FuturesUnordered<_> = [1, 1, 1, 1, 2, 3].map(handshake).into_iter().collect();
        assert!(all.next().now_or_never().is_none());
        drop(held);
        while all.next().await.is_some() {}
        assert_eq!(order.lock()[..3], [1, 2, 3], "each peer has its turn first");
        assert!(turns.by_peer.lock().is_empty(), "nobody is remembered");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_bytes_holds_no_turn() {
        let turns = HandshakeTurns::new(1);
        let bytes = Notify::new();
        let slow = turns.take(peer(1), bytes.notified());
        let mut slow = pin!(slow);
        assert!(futures::poll!(slow.as_mut()).is_pending());
        let quick = turns.take(peer(1), async { 7 });
        let quick = tokio::time::timeout(Duration::from_secs(1), quick).await;
        assert_eq!(quick.expect("a turn is free"), 7);
        bytes.notify_one();
        tokio::time::timeout(Duration::from_secs(1), slow).await.expect("woken");
    }
}
