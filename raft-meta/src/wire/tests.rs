use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connection::{put, write_hello};
use super::*;
use crate::limits::{FRAME_MAX_BYTES, HELLO_MAX_BYTES, WATCH_QUEUED_MAX_COUNT};

const ECHO: Method = Method(300);
const SLOW: Method = Method(301);
const COUNT: Method = Method(302);
const REFUSE: Method = Method(303);

/// Answers what the methods above say.
struct Tester;

impl Service for Tester {
    fn call(
        &self,
        from: &Identity,
        method: Method,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Refusal>> {
        let from = from.clone();
        Box::pin(async move {
            match method {
                ECHO => Ok(body),
                SLOW => std::future::pending().await,
                REFUSE => Err(Refusal::NotLeader(Some(Destination {
                    member: 4,
                    address: "there:1".to_owned(),
                }))),
                _ => Err(Refusal::BadRequest(format!("{from:?}"))),
            }
        })
    }

    fn watch(
        &self,
        _from: &Identity,
        method: Method,
        body: Bytes,
        to: Push,
    ) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(async move {
            if method != COUNT {
                return Err(Refusal::BadRequest("no stream".to_owned()));
            }
            let count = u32::from_le_bytes(*body.first_chunk().unwrap());
            for number in 0..count {
                to.item(Bytes::copy_from_slice(&number.to_le_bytes()))
                    .await
                    .map_err(|_| Refusal::Failed("gone".to_owned()))?;
            }
            Ok(())
        })
    }
}

async fn listen(security: Security) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), security)
        .await
        .unwrap();
    let address = listener.address();
    tokio::spawn(listener.serve(1, "test", Arc::new(Tester)));
    address
}

fn to(address: SocketAddr) -> Destination {
    Destination {
        member: 1,
        address: address.to_string(),
    }
}

fn plain() -> Dialer {
    Dialer::new("test", Identity::node("n1"), Security::Plain)
}

/// An authority and certificates of it.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn certify(&self, identity: &Identity) -> Security {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(identity.certificate_names()).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let authority: CertificateDer<'static> = self.0.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Security::new(&[authority], vec![certificate.der().clone()], key).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_a_connection() {
    let to = to(listen(Security::Plain).await);
    let connection = plain().connection(&to).await.unwrap();
    let slow = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.call(SLOW, Bytes::new()).await })
    };
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..500_u32 {
        let connection = connection.clone();
        calls.spawn(async move {
            let body = Bytes::from(number.to_le_bytes().repeat(1 + number as usize * 20));
            assert_eq!(connection.call(ECHO, body.clone()).await, Ok(body));
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    slow.abort();
    let refused = connection.call(REFUSE, Bytes::new()).await;
    let elsewhere = Destination {
        member: 4,
        address: "there:1".to_owned(),
    };
    assert_eq!(refused, Err(Refusal::NotLeader(Some(elsewhere)).into()));
    let largest = Bytes::from(vec![7; FRAME_MAX_BYTES]);
    assert_eq!(connection.call(ECHO, largest.clone()).await, Ok(largest));
    let over = connection
        .call(ECHO, Bytes::from(vec![7; FRAME_MAX_BYTES + 1]))
        .await;
    assert!(matches!(over, Err(CallError::Refused(Refusal::BadRequest(_)))));
}

#[tokio::test]
async fn streams_come_in_order_and_slow_readers_are_cut_off() {
    let to = to(listen(Security::Plain).await);
    let connection = plain().connection(&to).await.unwrap();
    let few = WATCH_QUEUED_MAX_COUNT as u32;
    let mut watch = connection
        .watch(COUNT, Bytes::copy_from_slice(&few.to_le_bytes()))
        .await
        .unwrap();
    for number in 0..few {
        assert_eq!(watch.next().await.unwrap().unwrap(), number.to_le_bytes()[..]);
    }
    assert_eq!(watch.next().await, None);
    // Nobody reads: the stream is ended here, and others on the connection do not notice.
    let endless = connection
        .watch(COUNT, Bytes::copy_from_slice(&u32::MAX.to_le_bytes()))
        .await
        .unwrap();
    for _ in 0..100 {
        let echo = connection.call(ECHO, Bytes::from_static(b"still here")).await;
        assert_eq!(echo.unwrap(), "still here");
    }
    drop(endless);
    let none = connection
        .watch(Method(999), Bytes::new())
        .await
        .unwrap()
        .next()
        .await;
    assert!(matches!(
        none,
        Some(Err(CallError::Refused(Refusal::BadRequest(_))))
    ));
}

#[tokio::test]
async fn calls_end_with_their_connection() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Security::Plain)
        .await
        .unwrap();
    let to = to(listener.address());
    let serving = tokio::spawn(listener.serve(1, "test", Arc::new(Tester)));
    let dialer = plain();
    let connection = dialer.connection(&to).await.unwrap();
    let call = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.call(SLOW, Bytes::new()).await })
    };
    connection.call(ECHO, Bytes::new()).await.unwrap();
    serving.abort();
    assert!(matches!(call.await.unwrap(), Err(CallError::Lost(_))));
    assert!(connection.is_closed());
    assert!(matches!(
        dialer.connection(&to).await,
        Err(CallError::Unreachable(_))
    ));
}

#[tokio::test]
async fn only_who_belongs_to_the_cluster_is_welcome() {
    let authority = Authority::new();
    let address = listen(authority.certify(&Identity::member(1))).await;
    let node = Identity::node("n1");
    let dial = |cluster: &str, us: &Identity, security, member| {
        let dialer = Dialer::new(cluster, us.clone(), security);
        let to = Destination {
            member,
            address: address.to_string(),
        };
        async move {
            let connection = dialer.connection(&to).await?;
            connection.call(ECHO, Bytes::from_static(b"hello")).await
        }
    };
    let good = dial("test", &node, authority.certify(&node), 1).await;
    assert_eq!(good.unwrap(), "hello");
    let refused = |result: Result<Bytes, CallError>| match result {
        Err(CallError::Refused(Refusal::Forbidden(_)) | CallError::Unreachable(_) | CallError::Lost(_)) => {}
        other => panic!("{other:?}"),
    };
    refused(dial("other", &node, authority.certify(&node), 1).await);
    refused(dial("test", &node, authority.certify(&node), 2).await);
    // Another's certificate, one of another authority, none at all.
    refused(dial("test", &Identity::member(2), authority.certify(&node), 1).await);
    refused(dial("test", &node, Authority::new().certify(&node), 1).await);
    refused(dial("test", &node, Security::Plain, 1).await);
    // One who is no member does not pass for one.
    let impostor = listen(authority.certify(&node)).await;
    let dialer = Dialer::new("test", node.clone(), authority.certify(&node));
    let to = to(impostor);
    assert!(matches!(
        dialer.connection(&to).await,
        Err(CallError::Unreachable(_))
    ));
}

#[tokio::test]
async fn plain_text_stays_on_this_machine() {
    let bound = Listener::bind("0.0.0.0:0".parse().unwrap(), Security::Plain).await;
    assert!(bound.err().unwrap().contains("loopback"));
    let to = Destination {
        member: 1,
        address: "192.0.2.1:9".to_owned(),
    };
    let refused = plain().connection(&to).await;
    assert!(matches!(refused, Err(CallError::Unreachable(why)) if why.contains("loopback")));
}

/// Sends bytes to a listener and returns what came back until it closed.
async fn send(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may close before all is written.
    let _ = stream.write_all(bytes).await;
    let mut back = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut back));
    // A reset is an end too.
    let _ = read.await.expect("the connection is closed");
    back
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let address = listen(Security::Plain).await;
    let hello = |kind, bytes: usize| {
        let mut to = BytesMut::new();
        put(&mut to, &Frame::new(kind, 0, Bytes::from(vec![1; bytes])));
        to.to_vec()
    };
    assert_eq!(send(address, b"GET / HTTP/1.1\r\nHost: there\r\n\r\n").await, b"");
    assert_eq!(send(address, &hello(Kind::Request, 3)).await, b"");
    assert_eq!(send(address, &hello(Kind::Hello, 3)).await, b"");
    assert_eq!(send(address, &hello(Kind::Hello, HELLO_MAX_BYTES + 1)).await, b"");
    let mut welcome = BytesMut::new();
    let greeting = write_hello("test", &Identity::node("n1"), 1);
    put(&mut welcome, &Frame::new(Kind::Hello, 0, greeting));
    // A frame over the limit is refused by its header alone.
    let mut over = welcome.to_vec();
    let mut header = Frame::new(Kind::Request, 1, Bytes::new()).header();
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    over.extend_from_slice(&header);
    assert_eq!(
        send(address, &over).await.len(),
        HEADER_BYTES,
        "the welcome, no more"
    );
    // One that is broken too, and one that only servers send.
    let mut broken = welcome.to_vec();
    let mut header = Frame::new(Kind::Request, 1, Bytes::new()).header();
    header[20] ^= 1;
    broken.extend_from_slice(&header);
    assert_eq!(send(address, &broken).await.len(), HEADER_BYTES);
    let mut wrong = welcome.to_vec();
    wrong.extend_from_slice(&hello(Kind::Answer, 3));
    assert_eq!(send(address, &wrong).await.len(), HEADER_BYTES);
    // And the listener goes on.
    let connection = plain().connection(&to(address)).await.unwrap();
    assert_eq!(
        connection.call(ECHO, Bytes::from_static(b"x")).await.unwrap(),
        "x"
    );
}

#[tokio::test(start_paused = true)]
async fn one_who_says_nothing_is_let_go() {
    let address = listen(Security::Plain).await;
    assert_eq!(send(address, b"").await, b"");
}
