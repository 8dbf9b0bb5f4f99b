use std::cell::Cell;
use std::future::Future;
use std::io::{IoSlice, Write as _};
use std::net::{Shutdown, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::future::{Either, select};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::error::Error;
use crate::limits::RUN_MAX_BYTES;
use crate::ring::{self, Listener, Socket};
use crate::tls::Tls;

#[test]
fn admission_counts_in_all_and_by_address() {
    let admission = Admission::new(3, 2);
    let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let first = admission.admit(a);
    let _second = admission.admit(a);
    assert!(first.is_some() && admission.admit(a).is_none());
    let _third = admission.admit(b);
    assert!(admission.admit(b).is_none());
    drop(first);
    assert_eq!(admission.open(), 2);
    assert!(admission.admit(a).is_some());
}

fn timeouts(each: Duration) -> Timeouts {
    Timeouts {
        idle: each,
        handshake: each,
        head: each,
        stall: each,
        stall_min_bytes: 1,
    }
}

async fn accept(listener: &Listener) -> Socket {
    loop {
        if let Some(socket) = listener.try_accept().unwrap() {
            return socket;
        }
        listener.readable().await.unwrap();
    }
}

#[test]
fn a_peer_that_keeps_up_lets_others_have_their_turn_and_a_quiet_one_is_noticed() {
    ring::run(None, || async {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut client = TcpStream::connect(listener.local()).unwrap();
        let sweeper = Sweeper::new(timeouts(Duration::from_secs(60)));
        ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
        let socket = Rc::new(accept(&listener).await);
        let watch = sweeper.watch(Rc::clone(&socket));
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        ring::spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                ring::yield_now().await;
            }
        });
        for _ in 0..9 {
            watch.moved(RUN_MAX_BYTES as usize / 10).await;
        }
        assert_eq!(turns.get(), 0);
        for _ in 0..9 {
            watch.moved(RUN_MAX_BYTES as usize).await;
        }
        assert!(turns.get() >= 8, "{}", turns.get());
        for _ in 0..2 {
            assert!(!watch.readable_soon().await.unwrap(), "nothing came");
        }
        client.write_all(b"x").unwrap();
        assert!(watch.readable_soon().await.unwrap());
    })
    .unwrap();
}

/// A TLS connection: the client's end goes to `client`, in a thread of its own, ours to `server`.
fn connected<T: Send + 'static, F: Future>(
    client: impl FnOnce(StreamOwned<ClientConnection, TcpStream>) -> T + Send + 'static,
    server: impl FnOnce(Rc<Stream>, Rc<Watch>) -> F,
) -> (T, F::Output) {
    let data = tempfile::tempdir().unwrap();
    let tls = Tls::open(&[], data.path()).unwrap();
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(data.path().join("tls/self-made.pem")).unwrap();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (address_to, address) = mpsc::channel();
    let client = std::thread::spawn(move || {
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(tls, TcpStream::connect(address.recv().unwrap()).unwrap());
        stream.conn.complete_io(&mut stream.sock).unwrap();
        client(stream)
    });
    let served = ring::run(None, || async move {
        let sweeper = Sweeper::new(timeouts(Duration::from_secs(1)));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        address_to.send(listener.local()).unwrap();
        let socket = Rc::new(accept(&listener).await);
        let watch = sweeper.watch(Rc::clone(&socket));
        let shaken = shake_hands(&Handshakes::new(1), tls.http(), &socket, &watch, &[]).await;
        let session = shaken.unwrap_or_else(|error| panic!("{error}")).session;
        server(Stream::new(socket, Some(session)), watch).await
    });
    (client.join().unwrap(), served.unwrap())
}

#[test]
fn the_last_word_waits_for_a_peer_that_takes_nothing() {
    let (full_to, full) = mpsc::channel();
    let (got, sent) = connected(
        move |mut stream| {
            full.recv().unwrap();
            // An end without the last word is an error.
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
        },
        |stream, watch| async move {
            let (piece, mut sent) = (vec![7; 200_000], 0);
            while stream.unsent() == 0 {
                sent += stream
                    .try_send(&[IoSlice::new(&piece)], false)
                    .unwrap()
                    .unwrap_or(0);
            }
            let outbound = Outbound::new(stream, watch);
            futures::join!(outbound.end(), async { full_to.send(()).unwrap() });
            sent as u64
        },
    );
    assert_eq!(got, sent);
}

#[test]
fn an_end_within_a_record_is_none_that_was_only_not_said() {
    for (kept, was_cut_off) in [(1022, true), (500, false), (3, false)] {
        let ((), ()) = connected(
            move |mut stream| {
                // A record of 1,000 bytes takes 1,022.
                let mut sealed = Vec::new();
                for _ in 0..2 {
                    stream.conn.writer().write_all(&[7; 1000]).unwrap();
                    stream.conn.write_tls(&mut sealed).unwrap();
                }
                assert_eq!(sealed.len(), 2 * 1022);
                stream.sock.write_all(&sealed[..1022 + kept]).unwrap();
                stream.sock.shutdown(Shutdown::Write).unwrap();
                // Closing before the server's tickets are read would reset the connection.
                std::io::copy(&mut stream.sock, &mut std::io::sink()).unwrap();
            },
            |stream, watch| async move {
                let mut inbound = Inbound::new(stream, watch, Vec::new());
                let (mut got, mut room) = (0, [0; 4000]);
                let error = loop {
                    match inbound.direct(&mut room, u64::MAX).await {
                        Ok(n) => got += n.unwrap_or(0),
                        Err(error) => break error,
                    }
                };
                assert!(matches!(error, Error::Disconnected), "{error}");
                assert_eq!(inbound.was_cut_off(), was_cut_off);
                assert_eq!(got, if was_cut_off { 2000 } else { 1000 });
            },
        );
    }
}

#[test]
fn who_was_too_slow_once_is_still_watched() {
    ring::run(None, || async {
        let sweeper = Sweeper::new(timeouts(Duration::from_millis(250)));
        ring::spawn(Sweeper::run(Rc::downgrade(&sweeper)));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let _client = TcpStream::connect(listener.local()).unwrap();
        let socket = Rc::new(accept(&listener).await);
        let watch = sweeper.watch(Rc::clone(&socket));
        watch.enter(Phase::Body);
        watch.readable().await.unwrap();
        assert_eq!(watch.expired(), Some(Expired(Phase::Body)));
        // It got its request through all the same, and now takes no reply.
        watch.enter(Phase::Reply);
        let cut_off = async {
            while let Ok(sent) = socket.try_send(&[0; 1 << 16], false) {
                if sent.is_none() {
                    watch.writable().await.unwrap();
                }
            }
        };
        let too_long = ring::sleep(Duration::from_secs(60));
        assert!(matches!(
            select(pin!(cut_off), pin!(too_long)).await,
            Either::Left(_)
        ));
    })
    .unwrap();
}

#[test]
fn a_connection_that_is_closed_by_us_has_not_ended() {
    ring::run(None, || async {
        let sweeper = Sweeper::new(timeouts(Duration::from_secs(1)));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let _client = TcpStream::connect(listener.local()).unwrap();
        let socket = Rc::new(accept(&listener).await);
        let watch = sweeper.watch(Rc::clone(&socket));
        watch.enter(Phase::Body);
        let mut inbound = Inbound::new(Stream::plain(socket), watch, Vec::new());
        sweeper.close_all();
        inbound.direct(&mut [0; 64], u64::MAX).await.unwrap_err();
    })
    .unwrap();
}
