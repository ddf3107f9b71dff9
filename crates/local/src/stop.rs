//! How one decision to stop reaches every task.
//!
//! Rule: a task that can wait waits for [`Stop`] too, so that Ctrl-C never hangs on a timer or a socket.

use tokio::sync::watch;

/// The side that decides. Dropping it stops everything as well.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// The side that obeys; clone one for each task.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A connected pair.
#[must_use]
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Tells every [`Stop`]; a second time changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when it is time to stop, also to those who ask late.
    pub async fn wanted(mut self) {
        // An error means that the deciding side is gone, which is a reason to stop like any other.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it is time to stop already.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
