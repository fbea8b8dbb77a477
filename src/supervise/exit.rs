//! How a parent learns of a child's end: a guard that the child owns and that speaks when dropped.

use actix::prelude::*;

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It panicked; what it held is gone.
    Panicked,
    /// It could not go on, for the reason given.
    Failed(String),
    /// It was told to stop, or its work is done.
    Finished,
    /// The venue says that what it serves does not exist.
    Rejected(String),
}

/// Child -> parent, once per life, also after a panic. No reply.
/// Loss: none while the parent lives; a parent that ended has no use for it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ChildExited<I: Send + 'static> {
    /// Which child.
    pub id: I,
    /// Which of its lives.
    pub generation: u64,
    /// How it ended.
    pub exit: Exit,
}

/// Lives in the child; its `Drop` sends [`ChildExited`].
pub struct ExitGuard<I: Clone + Send + 'static> {
    id: I,
    generation: u64,
    parent: Recipient<ChildExited<I>>,
    exit: Exit,
}

impl<I: Clone + Send + 'static> ExitGuard<I> {
    /// A guard that reports [`Exit::Finished`] unless told otherwise.
    pub fn new(id: I, generation: u64, parent: Recipient<ChildExited<I>>) -> ExitGuard<I> {
        ExitGuard { id, generation, parent, exit: Exit::Finished }
    }

    /// Which life this is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Says why the life is about to end.
    pub fn ends_with(&mut self, exit: Exit) {
        self.exit = exit;
    }
}

impl<I: Clone + Send + 'static> Drop for ExitGuard<I> {
    fn drop(&mut self) {
        let exit = if std::thread::panicking() { Exit::Panicked } else { self.exit.clone() };
        self.parent.do_send(ChildExited { id: self.id.clone(), generation: self.generation, exit });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    struct Parent(mpsc::UnboundedSender<(u32, u64, Exit)>);

    impl Actor for Parent {
        type Context = Context<Self>;
    }

    impl Handler<ChildExited<u32>> for Parent {
        type Result = ();

        fn handle(&mut self, message: ChildExited<u32>, _: &mut Context<Self>) {
            self.0.send((message.id, message.generation, message.exit)).unwrap();
        }
    }

    struct Child(ExitGuard<u32>);

    impl Actor for Child {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    enum Order {
        Stop,
        Fail,
        Panic,
    }

    impl Handler<Order> for Child {
        type Result = ();

        fn handle(&mut self, order: Order, ctx: &mut Context<Self>) {
            match order {
                Order::Stop => ctx.stop(),
                Order::Fail => {
                    self.0.ends_with(Exit::Failed("no luck".into()));
                    ctx.stop();
                }
                Order::Panic => panic!("asked to"),
            }
        }
    }

    #[actix_rt::test]
    async fn every_end_is_reported_with_its_generation_also_a_panic() {
        let (tx, mut ends) = mpsc::unbounded_channel();
        let parent = Parent(tx).start();
        for (generation, order) in [(1, Order::Stop), (2, Order::Fail), (3, Order::Panic)] {
            let child = Child(ExitGuard::new(7, generation, parent.clone().recipient())).start();
            child.do_send(order);
            let (id, reported, exit) = ends.recv().await.unwrap();
            assert_eq!((id, reported), (7, generation));
            let expected = [Exit::Finished, Exit::Failed("no luck".into()), Exit::Panicked];
            assert_eq!(exit, expected[generation as usize - 1]);
        }
        assert!(parent.connected(), "a child's panic leaves the parent alone");
    }
}
