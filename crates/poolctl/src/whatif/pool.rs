//! The pool's own decisions: the plans of `scale` and `reap-idle`, carried out at once.

use pool_core::reap_idle;
use pool_core::scale::{self, Template};
use pool_core::shard::Transition;

use super::machines::subnet_of;
use super::world::World;

/// Of the modelled pool, for launch tokens.
const POOL: &str = "what-if";

/// What the modelled EC2 launches from.
pub(super) fn template(zones: u64) -> Template {
    Template { id: "lt-what-if".to_owned(), version: 1, subnets: (0..zones).map(subnet_of).collect() }
}

impl World<'_> {
    /// One run of `scale`.
    pub(super) fn scale(&mut self) {
        let plan = scale::plan(self.snapshot(), &template(self.model.zones), POOL);
        self.control = plan.control;
        for start in plan.starts {
            if self.write(start.shard, &start.transition).is_ok() {
                self.start(start.shard, &start.instance);
            }
        }
        for planned in plan.launches {
            if self.write(planned.shard, &planned.transition).is_ok() {
                self.launch(planned.shard, &planned.launch, &planned.intent);
            }
        }
    }

    /// One run of `reap-idle`.
    pub(super) fn reap_idle(&mut self) {
        let plan = reap_idle::plan(self.snapshot(), &self.ec2);
        self.control = plan.control;
        for removal in plan.removals {
            if self.write(removal.shard, &removal.transition).is_ok()
                && matches!(removal.transition, Transition::Stop { .. })
            {
                self.stop(&removal.instance);
            }
        }
        self.terminate_leaving();
        self.forget_tombstones();
    }

    pub(super) fn forget_tombstones(&mut self) {
        for (shard, prune) in reap_idle::forgettable(&self.shards, self.now) {
            // It was decided on this very shard.
            let _ = self.write(shard, &prune);
        }
    }
}
