//! Sessions that jump while a stream runs: which of a client's runs has to have everything.

use super::*;

impl Story {
    /// A jump to an entry, answered at once.
    fn jump(&mut self, second: u64, to: usize) -> Point {
        let point = self.at(second, Position::At(self.truth.shards[0].entries[to].number));
        let What::Opened(opened) = &mut self.history.clients[0].items[point.item].what else {
            unreachable!()
        };
        opened.via = Via::Jump;
        point
    }

    /// The first stream ends, noted behind the jump that superseded it.
    fn superseded(&mut self, second: u64) {
        self.end(second, EndReason::Superseded, "ABORTED");
        self.in_first_run(1);
    }

    /// The last items are of the first run after all.
    fn in_first_run(&mut self, last: usize) {
        self.history.clients[0].items.iter_mut().rev().take(last).for_each(|seen| seen.run = 0);
    }

    /// The client followed to the end, and everything had time to arrive.
    fn settle(&mut self) {
        self.history.clients[0].follows = true;
        self.history.settled = Some(HOUR);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_jump_leaves_behind_need_not_go_on() {
    let story = |s: &mut Story| {
        s.at(1, Position::Horizon);
        s.records(2, 0..9);
        s.jump(90, 12);
        s.records(91, 12..14);
        s.superseded(92);
        s.settle();
    };
    assert_good("everything behind the jump", told(story).await);
    let story = |s: &mut Story| {
        s.at(1, Position::Horizon);
        s.records(2, 0..9);
        s.jump(3, 0);
        s.failed(3, "DRAINING", None);
        s.records(100, 9..14);
        s.in_first_run(1);
        s.settle();
    };
    assert_good("a refused jump leaves nothing behind", told(story).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_jump_leads_to_must_arrive() {
    let story = |s: &mut Story| {
        s.at(1, Position::Horizon);
        s.records(2, 0..9);
        s.records(95, 9..14);
        s.jump(96, 12);
        s.superseded(97);
        s.settle();
    };
    let name = "the superseded stream had everything, who jumped got nothing";
    assert_broken(name, Guarantee::Reliable, told(story).await);
    let story = |s: &mut Story| {
        s.at(1, Position::Horizon);
        s.records(2, 0..9);
        s.jump(3, 12);
        s.failed(3, "DRAINING", None);
        s.records(4, 9..11);
        s.in_first_run(1);
        s.settle();
    };
    assert_broken(
        "the jump was refused, and reading stopped",
        Guarantee::Reliable,
        told(story).await,
    );
}
