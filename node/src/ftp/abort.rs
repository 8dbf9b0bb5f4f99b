//! The end of a transfer before its time: asked for by ABOR, a lost control connection, or the operator.

use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;

use futures::channel::oneshot;

use crate::ring::Socket;

/// Raised once; whoever waits on it or on a socket attached to it wakes up. Nothing is cancelled: a transfer comes to
/// its own end.
#[derive(Default)]
pub(super) struct Abort {
    raised: Cell<bool>,
    sockets: RefCell<Vec<Rc<Socket>>>,
    waiters: RefCell<Vec<oneshot::Sender<()>>>,
}

impl Abort {
    pub(super) fn raise(&self) {
        self.raised.set(true);
        for socket in self.sockets.borrow_mut().drain(..) {
            socket.shutdown(Shutdown::Both);
        }
        for waiter in self.waiters.borrow_mut().drain(..) {
            // Who waited may have given up.
            let _ = waiter.send(());
        }
    }

    pub(super) fn is_raised(&self) -> bool {
        self.raised.get()
    }

    /// Shuts a socket down when raised.
    pub(super) fn attach(&self, socket: &Rc<Socket>) {
        if self.is_raised() {
            socket.shutdown(Shutdown::Both);
        } else {
            self.sockets.borrow_mut().push(Rc::clone(socket));
        }
    }

    /// Resolves once raised.
    pub(super) async fn raised(&self) {
        if self.is_raised() {
            return;
        }
        let (sender, raised) = oneshot::channel();
        self.waiters.borrow_mut().push(sender);
        let _ = raised.await;
    }
}
