//! Whoever asks for a shard's children, beside all that read.

use std::rc::Rc;

use super::Driver;
use crate::sim::history::Family;
use crate::sim::service::Service;

impl<S: Service> Driver<S> {
    /// Asks one server after the other, once, and writes down what it says.
    pub fn ask(&mut self, shard: usize, by_table: bool) {
        let shards = self.fake.shards();
        let of = shards[shard % shards.len()].clone();
        let server = {
            let servers = self.alive.borrow();
            servers[self.askers.len() % servers.len()].0.clone()
        };
        let (fake, history, asked) = (self.fake.clone(), Rc::clone(&self.history), self.fake.now());
        self.askers.push(tokio::task::spawn_local(async move {
            let said = server.children(&of, by_table).await.map_err(|refusal| refusal.reason);
            history.borrow_mut().families.push(Family {
                of,
                by_table,
                asked,
                at: fake.now(),
                said,
            });
        }));
    }
}
