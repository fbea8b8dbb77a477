//! The children of one parent: who lives, in which generation, and when a dead one returns.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use chrono::{DateTime, Utc};

use super::exit::{ChildExited, Exit};
use super::policy::{Decision, RestartPolicy, RestartWindow};

/// A parent's table of children of one kind.
#[derive(Debug)]
pub struct Children<I: Ord + Clone + Send + 'static, A: Actor> {
    policy: RestartPolicy,
    /// Boxed: a map's nodes are half empty, and there may be thousands.
    children: BTreeMap<I, Box<Child<A>>>,
    /// Never reused within a parent's life, so that late messages of any old child are told apart.
    last_generation: u64,
}

#[derive(Debug)]
struct Child<A: Actor> {
    addr: Option<Addr<A>>,
    generation: u64,
    failures: u64,
    window: RestartWindow,
}

impl<I: Ord + Clone + Send + 'static, A: Actor> Children<I, A> {
    /// An empty table under a policy.
    pub fn new(policy: RestartPolicy) -> Children<I, A> {
        Children { policy, children: BTreeMap::new(), last_generation: 0 }
    }

    /// The generation to give to the next life.
    pub fn next_generation(&mut self) -> u64 {
        self.last_generation += 1;
        self.last_generation
    }

    /// A life began.
    pub fn started(&mut self, id: I, generation: u64, addr: Addr<A>) {
        let policy = self.policy;
        let child = self.children.entry(id).or_insert_with(|| {
            Box::new(Child { addr: None, generation, failures: 0, window: RestartWindow::new(policy) })
        });
        child.addr = Some(addr);
        child.generation = generation;
    }

    /// A life ended. `None` for a life that was replaced already, or for a child that is not in the
    /// table any more; otherwise what to do. A finished or rejected child is not restarted by policy.
    pub fn exited(&mut self, message: &ChildExited<I>, now: DateTime<Utc>, random: f64) -> Option<Decision> {
        let child = self.children.get_mut(&message.id).filter(|child| child.generation == message.generation)?;
        child.addr = None;
        match message.exit {
            Exit::Panicked | Exit::Failed(_) => {
                child.failures += 1;
                Some(child.window.on_exit(now, random))
            }
            Exit::Finished => Some(Decision::RestartAt(now)),
            Exit::Rejected(_) => None,
        }
    }

    /// How long to wait before a child that ended well is started again because it is needed again.
    pub fn pause(&mut self, id: &I, random: f64) -> Option<Duration> {
        self.children.get_mut(id).map(|child| child.window.pause(random))
    }

    /// The child did something of use: its back-off starts small again.
    pub fn useful(&mut self, id: &I, now: DateTime<Utc>) {
        if let Some(child) = self.children.get_mut(id) {
            child.window.useful_data(now);
        }
    }

    /// The address of a living child.
    pub fn addr(&self, id: &I) -> Option<&Addr<A>> {
        self.children.get(id).and_then(|child| child.addr.as_ref())
    }

    /// True when the child is in the table, alive or not.
    pub fn knows(&self, id: &I) -> bool {
        self.children.contains_key(id)
    }

    /// True when `generation` is the child's current life.
    pub fn is_current(&self, id: &I, generation: u64) -> bool {
        self.children.get(id).is_some_and(|child| child.generation == generation)
    }

    /// How many of the child's lives failed. A life that ended well, as one does for new settings,
    /// is none of them.
    pub fn failures(&self, id: &I) -> u64 {
        self.children.get(id).map_or(0, |child| child.failures)
    }

    /// The record of a child whose work another one carries on becomes that one's; the first is forgotten.
    pub fn succeed(&mut self, from: &I, to: &I) {
        let Some(record) = self.children.remove(from) else { return };
        if let Some(child) = self.children.get_mut(to) {
            (child.failures, child.window) = (record.failures + child.failures, record.window);
        }
    }

    /// Forgets a child; its end will not be answered.
    pub fn remove(&mut self, id: &I) -> Option<Addr<A>> {
        self.children.remove(id).and_then(|child| child.addr)
    }

    /// All living children.
    pub fn living(&self) -> impl Iterator<Item = (&I, &Addr<A>)> {
        self.children.iter().filter_map(|(id, child)| Some((id, child.addr.as_ref()?)))
    }
}
