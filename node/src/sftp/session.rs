//! A session of SFTP, on the shard that owns the account's association.

use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use filegrid_tree::{Protocol, TreePath};
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::future::{Either, select};

use super::flow::{Flow, Outlet};
use super::handles::{Handles, Open};
use super::later::Later;
use super::packet::{HandleId, Packet, Request, Wrong};
use super::queue::Queued;
use super::reply::{Code, Refused, Reply, refused};
use super::scp;
use super::scp::command::Scp;
use super::shards::{Sftp, Speaks, Start};
use crate::auth::AccountPrincipal;
use crate::error::Error;
use crate::limits::{BLOCK_BYTES, RUN_MAX_BYTES};
use crate::ring;

/// A session.
pub(super) struct Session {
    pub(super) sftp: Rc<Sftp>,
    pub(super) account: AccountPrincipal,
    pub(super) peer: IpAddr,
    pub(super) protocol: Protocol,
    pub(super) flow: Arc<Flow>,
    pub(super) outlet: Rc<Outlet>,
    pub(super) handles: Handles,
    pub(super) later: Later,
    greeted: bool,
    /// Work since others had their turn, in bytes.
    worked: u64,
}

/// Why a request was not done.
pub(super) enum Failed {
    Refused(Refused),
    Error(Error),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// The reply to a request; `None`: it comes later.
pub(super) type Done = Result<Option<Vec<u8>>, Failed>;

/// Serves a session to its end.
pub(super) async fn serve(sftp: Rc<Sftp>, start: Start) {
    let counted = sftp.drain.count();
    let mut session = Session {
        sftp,
        account: start.client.account,
        peer: start.client.peer,
        protocol: match start.speaks {
            Speaks::Sftp => Protocol::Sftp,
            Speaks::Scp(_) => Protocol::Scp,
        },
        flow: start.flow,
        outlet: Rc::new(start.outlet),
        handles: Handles::default(),
        later: Later::default(),
        greeted: false,
        worked: 0,
    };
    match start.speaks {
        Speaks::Sftp => session.run(start.requests).await,
        Speaks::Scp(scp) => Box::pin(session.run_scp(start.requests, &scp)).await,
    }
    Box::pin(session.end()).await;
    drop(counted);
}

impl Session {
    async fn run(&mut self, mut requests: mpsc::UnboundedReceiver<Queued>) {
        let sftp = Rc::clone(&self.sftp);
        let mut stopping = pin!(sftp.drain.begun());
        loop {
            self.outlet.room().await;
            let packet = if sftp.drain.is_draining() {
                if self.handles.iter().next().is_none() {
                    return;
                }
                requests.next().await
            } else {
                match select(requests.next(), stopping.as_mut()).await {
                    Either::Left((packet, _)) => packet,
                    Either::Right(_) => {
                        self.cut_off_later();
                        continue;
                    }
                }
            };
            // Behind a cut nothing is begun, whatever was asked for.
            let Some(packet) = packet.filter(|_| !self.flow.is_cut()) else {
                return;
            };
            self.worked += (packet.bytes().len() + BLOCK_BYTES) as u64;
            if !self.take(packet).await {
                return;
            }
            if self.worked >= RUN_MAX_BYTES {
                self.worked = 0;
                ring::yield_now().await;
            }
        }
    }

    async fn run_scp(&mut self, requests: mpsc::UnboundedReceiver<Queued>, scp: &Scp) {
        let (sftp, flow) = (Rc::clone(&self.sftp), Arc::clone(&self.flow));
        let stopping = async {
            sftp.drain.begun().await;
            ring::sleep(sftp.drain_time).await;
            flow.cut();
            std::future::pending::<()>().await;
        };
        select(pin!(scp::serve(self, requests, scp)), pin!(stopping)).await;
    }

    /// Transfers in flight have until the end of the node's time to stop.
    fn cut_off_later(&self) {
        let (flow, time) = (Arc::clone(&self.flow), self.sftp.drain_time);
        ring::spawn(async move {
            ring::sleep(time).await;
            flow.cut();
        });
    }

    /// Does what a packet asks for; `false`: the session ends.
    async fn take(&mut self, packet: Queued) -> bool {
        let (id, request) = match Packet::parse(packet.bytes()) {
            Ok(Packet::Init(_)) if !self.greeted => {
                self.greeted = true;
                self.outlet.send(Reply::version());
                return true;
            }
            Ok(Packet::Request(id, request)) if self.greeted => (id, request),
            Ok(_) | Err(Wrong::Fatal) => return false,
            Err(Wrong::Malformed(id)) => {
                let reply = Reply::status(id, Code::BadMessage, "the request cannot be read");
                self.outlet.send(reply);
                return true;
            }
            Err(Wrong::NotUtf8(id)) => {
                let reply = Reply::status(id, Code::Failure, "names have to be UTF-8");
                self.outlet.send(reply);
                return true;
            }
        };
        // A session that is idle keeps no room for what a request may need.
        let done = Box::pin(self.request(id, request, packet)).await;
        answer(id, done, &self.outlet, &self.flow)
    }

    async fn request(&mut self, id: u32, request: Request, packet: Queued) -> Done {
        match request {
            Request::Open { path, flags } => self.open(id, &path, flags).await,
            Request::Close(handle) => self.close(id, handle).await,
            Request::Read {
                handle,
                offset,
                length,
            } => self.read(id, handle, offset, length).await,
            Request::Write { handle, offset, data } => {
                let Some(Open::Writing(upload)) = self.handles.get(handle) else {
                    return Err(no_handle().into());
                };
                upload.write(offset, packet, data).await?;
                Ok(Some(Reply::ok(id)))
            }
            Request::Copy {
                from,
                offset,
                length,
                to,
                at,
            } => self.copy(id, (from, offset), length, (to, at)).await,
            Request::Fsync(handle) => {
                let Some(Open::Writing(upload)) = self.handles.get(handle) else {
                    return Err(no_handle().into());
                };
                upload.sync().await?;
                Ok(Some(Reply::ok(id)))
            }
            Request::ReadDir(handle) => {
                let writable = self.account.may_write;
                let Some(Open::Directory(directory)) = self.handles.get(handle) else {
                    return Err(no_handle().into());
                };
                let page = directory.page(id, writable)?;
                Ok(Some(page.unwrap_or_else(|| Reply::eof(id))))
            }
            other => self.files(id, other).await,
        }
    }

    /// Closes what is still open: what was being written is not published.
    async fn end(&mut self) {
        self.later.all_over().await;
        let open: Vec<_> = self.handles.drain().collect();
        for open in open {
            match open {
                Open::Writing(upload) => {
                    self.note("put", upload.path(), upload.written, "broken");
                    upload.break_off().await;
                }
                Open::Reading(reading) => self.note("get", &reading.path, reading.read, "broken"),
                Open::Directory(_) => {}
            }
        }
    }

    /// Logs a transfer.
    pub(super) fn note(&self, verb: &'static str, path: &TreePath, bytes: u64, done: &str) {
        tracing::info!(
            target: "transfer",
            protocol = self.protocol.name(),
            peer = %self.peer,
            user = self.account.username,
            verb,
            path = %self.shown(path),
            bytes,
            done,
        );
    }

    /// Does a change beside what comes next, unless that concerns one of `paths`.
    pub(super) async fn change_later(
        &mut self,
        id: u32,
        paths: Vec<TreePath>,
        change: impl Future<Output = Result<(), Error>> + 'static,
    ) -> Done {
        if !self.account.may_write {
            return Err(Refused::read_only().into());
        }
        for path in &paths {
            self.later.over(path).await;
        }
        let over = self.later.add(paths);
        let (outlet, flow) = (Rc::clone(&self.outlet), Arc::clone(&self.flow));
        ring::spawn(async move {
            let changed = change.await;
            let done = changed.map(|()| Some(Reply::ok(id))).map_err(Failed::from);
            answer(id, done, &outlet, &flow);
            drop(over);
        });
        Ok(None)
    }
}

/// Sends a reply; `false`: the session ends, since nobody knows how the request went.
fn answer(id: u32, done: Done, outlet: &Outlet, flow: &Flow) -> bool {
    let refused = match done {
        Ok(Some(reply)) => {
            outlet.send(reply);
            return true;
        }
        Ok(None) => return true,
        Err(Failed::Refused(refused)) => refused,
        Err(Failed::Error(error)) => {
            if matches!(error, Error::Damaged(_) | Error::Disk(_) | Error::Internal(_)) {
                tracing::error!(%error, "a request of SFTP failed");
            }
            let Some(refused) = refused(&error) else {
                flow.cut();
                return false;
            };
            refused
        }
    };
    outlet.send(Reply::status(id, refused.code, &refused.text));
    true
}

/// For a handle that is none, or is not of the kind that the request needs.
pub(super) fn no_handle() -> Refused {
    Refused::new(Code::Failure, "the handle is not open for that")
}

/// A handle and a place in its file.
pub(super) type Place = (HandleId, u64);
