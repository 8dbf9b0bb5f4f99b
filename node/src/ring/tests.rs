use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use super::*;

fn loopback() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
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
fn a_yielding_task_starves_neither_tasks_nor_timers() {
    run(None, || async {
        let stop = Rc::new(Cell::new(false));
        let seen = stop.clone();
        spawn(async move {
            while !seen.get() {
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(5)).await;
        let (sender, receiver) = futures::channel::oneshot::channel();
        spawn(async move { sender.send(()).unwrap() });
        receiver.await.unwrap();
        stop.set(true);
    })
    .unwrap();
}

#[test]
fn a_dropped_wait_for_a_connection_leaks_no_descriptor() {
    run(None, || async {
        let listener = Listener::bind(loopback()).unwrap();
        for _ in 0..32 {
            let wait = std::pin::pin!(listener.readable());
            let turn = std::pin::pin!(sleep(Duration::from_millis(1)));
            futures::future::select(wait, turn).await;
        }
        let mut client = std::net::TcpStream::connect(listener.local()).unwrap();
        drop(accept(&listener).await);
        // Were an accept still under way, it would hold the connection open.
        sleep(Duration::from_millis(5)).await;
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert!(listener.try_accept().unwrap().is_none());
    })
    .unwrap();
}

#[test]
fn an_address_is_taken_once_and_shared_from_then_on() {
    run(None, || async {
        let (address, held) = reserve(loopback()).unwrap();
        let taken = |address| reserve(address).unwrap_err().kind();
        assert_eq!(taken(address), std::io::ErrorKind::AddrInUse);
        let first = Listener::bind(address).unwrap();
        let second = Listener::bind(address).unwrap();
        drop(held);
        assert_eq!(taken(address), std::io::ErrorKind::AddrInUse);
        // Of all addresses it would be one.
        let everywhere = ([0, 0, 0, 0], address.port()).into();
        assert_eq!(taken(everywhere), std::io::ErrorKind::AddrInUse);
        // A connection that this side closes first leaves something behind at the address.
        let mut client = std::net::TcpStream::connect(address).unwrap();
        let socket = loop {
            let waiting = [&first, &second].map(|listener| listener.try_accept().unwrap());
            if let Some(socket) = waiting.into_iter().flatten().next() {
                break socket;
            }
            yield_now().await;
        };
        drop((socket, first, second));
        // They are closed through the ring.
        sleep(Duration::from_millis(5)).await;
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop(client);
        reserve(address).unwrap();
    })
    .unwrap();
}

#[test]
fn of_several_at_once_one_at_most_gets_an_address() {
    for _ in 0..50 {
        let free = std::net::TcpListener::bind(loopback()).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let start = std::sync::Barrier::new(4);
        let got = std::thread::scope(|scope| {
            let take = || {
                start.wait();
                reserve(address)
            };
            let threads = [(); 4].map(|()| scope.spawn(take));
            // All that were got are held until the last has tried.
            let got = threads.map(|thread| thread.join().unwrap().ok());
            got.iter().flatten().count()
        });
        assert!(got <= 1, "{got} got {address}");
    }
}

#[test]
fn data_goes_both_ways_and_survives_a_change_of_thread() {
    let (fd, mut client) = run(None, || async {
        let listener = Listener::bind(loopback()).unwrap();
        let mut client = std::net::TcpStream::connect(listener.local()).unwrap();
        let socket = accept(&listener).await;
        client.write_all(b"ping").unwrap();
        let mut buf = [0; 16];
        assert_eq!(socket.recv(&mut buf).await.unwrap(), 4);
        socket.send_all(b"pong").await.unwrap();
        (socket.into_fd().unwrap(), client)
    })
    .unwrap();
    std::thread::spawn(move || {
        run(None, || async {
            Socket::from_fd(fd).unwrap().send_all(b"!").await
        })
        .unwrap()
    })
    .join()
    .unwrap()
    .unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert_eq!(all, "pong!");
}

#[test]
fn a_file_is_written_read_found_in_the_cache_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    run(None, || async {
        let file = File::from_std(file).unwrap();
        let mut buf = AlignedBuf::with_capacity(8192);
        buf.append(&[7; 8192]);
        let (written, mut buf) = file.write_at(buf, 0).await;
        assert_eq!(written.unwrap(), 8192);
        file.sync_data().await.unwrap();
        buf.full_mut().fill(0);
        let (read, buf) = file.read_at(buf, 4096).await;
        assert_eq!(read.unwrap(), 4096);
        assert!(buf.iter().take(4096).all(|&b| b == 7));
        assert!(resident(std::os::fd::AsFd::as_fd(&file), 0, 8192));
        unlink(path.clone()).await.unwrap();
        assert!(!path.exists());
    })
    .unwrap();
}
