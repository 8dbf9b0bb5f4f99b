//! SCP as it was before it went over SFTP: `scp -O`, and old clients.

pub mod command;
mod pipe;
mod sink;
mod source;

use std::rc::Rc;
use std::sync::Arc;

use futures::channel::mpsc;

use self::command::{Line, Scp, Way};
use self::pipe::{Pipe, Stop};
use super::queue::Queued;
use super::session::Session;

/// Serves a channel to its end.
pub(super) async fn serve(session: &mut Session, requests: mpsc::UnboundedReceiver<Queued>, scp: &Scp) {
    let mut pipe = Pipe::new(requests, Rc::clone(&session.outlet), Arc::clone(&session.flow));
    let done = match scp.way {
        Way::In => sink::sink(session, &mut pipe, scp).await,
        Way::Out => source::source(session, &mut pipe, scp).await,
    };
    if let Err(Stop::Say(text)) = &done {
        let line = Line::Trouble {
            text: text.clone(),
            fatal: true,
        };
        session.outlet.send(line.bytes().unwrap_or_default());
    }
    if done.is_err() || pipe.troubled {
        session.outlet.fails();
    }
}
