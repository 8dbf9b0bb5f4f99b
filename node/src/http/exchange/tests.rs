use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::net::{Acceptor, Admission, Drain, Handshakes, Sweeper, Timeouts};
use crate::ring::{self, Listener};

struct Echo;

impl Service for Echo {
    async fn call(&self, exchange: &mut Exchange) -> Result<(), Error> {
        let body = match exchange.head().path() {
            "/ignore" => b"ignored".to_vec(),
            _ => exchange.body_bytes(1 << 20).await?,
        };
        exchange
            .reply(Reply {
                head: ReplyHead::new(200),
                body: body.into(),
            })
            .await
    }
}

/// Sends `request` to a server of its own, which drains once the client is answered; returns all replies.
fn talk(request: &'static [u8]) -> String {
    let (address_to, address) = mpsc::channel();
    let (done_to, done) = futures::channel::oneshot::channel();
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address.recv().unwrap()).unwrap();
        stream.write_all(request).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let _ = done_to.send(());
        text
    });
    ring::run(None, || async move {
        let timeouts = Timeouts {
            idle: Duration::from_secs(1),
            handshake: Duration::from_millis(250),
            head: Duration::from_millis(250),
            stall: Duration::from_millis(250),
            stall_min_bytes: 1,
        };
        let sweeper = Sweeper::new(timeouts);
        ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
        let drain = Drain::new();
        let shard = Shard {
            number: 0,
            sweeper: sweeper.clone(),
            drain: drain.clone(),
            peers: Rc::new(Vec::new()),
            handshakes: Handshakes::new(1),
        };
        let (shard, service) = (Rc::new(shard), Rc::new(Echo));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        address_to.send(listener.local()).unwrap();
        let serve = move |socket, permit| serve_plain(shard.clone(), service.clone(), socket, permit);
        let acceptor = Acceptor {
            admission: Admission::new(9, 9),
            drain: drain.clone(),
        };
        ring::spawn(async move { acceptor.listen(listener, b"", serve).await });
        done.await.unwrap();
        drain.drain(&[sweeper], Duration::from_secs(5)).await;
    })
    .unwrap();
    client.join().unwrap()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let text = talk(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nonePOST / HTTP/1.1\r\nHost: a\r\n\
          Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\ntw\r\n1;x=y\r\no\r\n0\r\nT: 1\r\n\r\n",
    );
    let (one, two) = (
        text.find("\r\n\r\none").unwrap(),
        text.find("\r\n\r\ntwo").unwrap(),
    );
    assert!(one < two && text.matches("HTTP/1.1 200").count() == 2);
}

#[test]
fn head_has_the_length_and_no_body() {
    let text = talk(b"HEAD /ignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(text.contains("Content-Length: 7\r\n") && text.ends_with("\r\n\r\n"));
}

#[test]
fn a_slow_head_is_answered_with_408() {
    assert!(talk(b"GET / HTTP/1.1\r\nHo").starts_with("HTTP/1.1 408"));
}

#[test]
fn a_body_that_nobody_wants_is_not_asked_for() {
    let head = b"PUT /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let text = talk(head);
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("Connection: close"));
}

#[test]
fn a_stalled_body_ends_the_connection() {
    let text = talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nxx");
    assert!(text.is_empty());
}

#[test]
fn an_awaited_body_is_asked_for_before_it_comes() {
    let text = talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\n"));
}

#[test]
fn a_length_given_twice_is_refused() {
    let text = talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 400"));
}

#[test]
fn a_body_over_the_limit_is_not_read() {
    assert!(talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n").is_empty());
}

/// Names its shard and would rather be on the other.
struct Named(usize);

impl Service for Named {
    async fn call(&self, exchange: &mut Exchange) -> Result<(), Error> {
        exchange.prefer_shard(1);
        let body = format!("shard {}\n", self.0).into_bytes();
        exchange
            .reply(Reply {
                head: ReplyHead::new(200),
                body: body.into(),
            })
            .await
    }
}

#[test]
fn a_connection_moves_with_its_unread_requests() {
    let text = ring::run(None, || async {
        let second = Duration::from_secs(9);
        let sweeper = Sweeper::new(Timeouts {
            idle: second,
            handshake: second,
            head: second,
            stall: second,
            stall_min_bytes: 1,
        });
        let (drain, admission) = (Drain::new(), Admission::new(9, 9));
        let (mailboxes, peers): (Vec<_>, Vec<_>) = (0..2)
            .map(|_| crate::mailbox::mailbox())
            .map(|(sender, mailbox)| (mailbox, sender))
            .unzip();
        let peers = Rc::new(peers);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local();
        let mut listener = Some(listener);
        for (number, mailbox) in mailboxes.into_iter().enumerate() {
            let (sweeper, peers) = (sweeper.clone(), peers.clone());
            let shard = Rc::new(Shard {
                number,
                sweeper,
                drain: drain.clone(),
                peers,
                handshakes: Handshakes::new(1),
            });
            let service = Rc::new(Named(number));
            let acceptor = Rc::new(Acceptor {
                admission: admission.clone(),
                drain: drain.clone(),
            });
            let (taker, taken, by) = (acceptor.clone(), shard.clone(), service.clone());
            let resume = move |handoff| resume(taken.clone(), by.clone(), handoff);
            ring::spawn(async move { taker.take_over(mailbox, resume).await });
            if let Some(listener) = listener.take() {
                let serve = move |socket, permit| serve_plain(shard.clone(), service.clone(), socket, permit);
                ring::spawn(async move { acceptor.listen(listener, b"", serve).await });
            }
        }
        let (text_to, text) = futures::channel::oneshot::channel();
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
            stream.write_all(request.as_bytes()).unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text_to.send(text).unwrap();
        });
        let text = text.await.unwrap();
        client.join().unwrap();
        assert_eq!(admission.open(), drain.open());
        text
    })
    .unwrap();
    assert_eq!(
        (text.matches("shard 0").count(), text.matches("shard 1").count()),
        (4, 2)
    );
}
