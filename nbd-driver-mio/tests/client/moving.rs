//! A client may move in memory and between registrations.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use nbd_driver_mio::{Client, ClientOptions, Scratch, Turn};

use crate::peer::{Peer, READ};
use crate::rig::Rig;
use crate::support::must_end;

/// Everything that is to be told now or soon.
fn events(poll: &mut Poll, patience: Option<Duration>) -> Events {
    let mut events = Events::with_capacity(64);
    loop {
        match poll.poll(&mut events, patience) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => {
                result.unwrap();
                return events;
            }
        }
    }
}

fn answer(peer: &mut Peer, fill: u8) {
    let request = peer.expect(READ);
    peer.reply(&request, 0, &[fill; 512]);
}

/// Its own poll does not want it any more.
fn unregistered() -> (Client, Peer) {
    let (mut rig, peer) = Rig::new(ClientOptions::default());
    rig.event_loop.poll.registry().deregister(&mut rig.client).unwrap();
    (rig.client, peer)
}

#[test]
fn while_it_is_registered_and_has_a_request_in_flight() {
    must_end(|| {
        let (mut poll, mut scratch) = (Poll::new().unwrap(), Scratch::new());
        let (mut clients, mut peers) = (Vec::new(), Vec::new());
        // The vector moves them all, more than once.
        for number in 0..20 {
            let (mut client, peer) = unregistered();
            poll.registry().register(&mut client, Token(number), Interest::READABLE).unwrap();
            client.read(vec![0; 512], 0).unwrap();
            assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Wait);
            clients.push(client);
            peers.push(peer);
        }
        let mut clients: Vec<Option<Box<Client>>> = clients.into_iter().map(|client| Some(Box::new(client))).collect();
        for (peer, fill) in peers.iter_mut().zip(0..20).rev() {
            answer(peer, fill);
        }
        let mut ended = 0;
        while ended < clients.len() {
            for event in &events(&mut poll, None) {
                let Token(number) = event.token();
                let mut client = clients[number].take().unwrap();
                client.ready(event);
                assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Wait);
                if let Some(completion) = client.completion() {
                    assert_eq!(completion.buffer[..], [number as u8; 512]);
                    ended += 1;
                }
                clients[number] = Some(client);
            }
        }
    });
}

#[test]
fn to_another_poll_in_the_middle_of_a_request() {
    must_end(|| {
        let (mut first, mut second, mut scratch) = (Poll::new().unwrap(), Poll::new().unwrap(), Scratch::new());
        let (mut client, mut peer) = unregistered();
        first.registry().register(&mut client, Token(1), Interest::READABLE).unwrap();
        client.read(vec![0; 512], 0).unwrap();
        assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Wait);
        events(&mut first, Some(Duration::ZERO));
        first.registry().deregister(&mut client).unwrap();
        answer(&mut peer, 3);
        assert!(events(&mut first, Some(Duration::ZERO)).is_empty());
        // What has come meanwhile is told when somebody asks.
        second.registry().register(&mut client, Token(2), Interest::READABLE).unwrap();
        let told = events(&mut second, None);
        assert!(told.iter().any(|event| event.token() == Token(2) && event.is_readable()));
        told.iter().for_each(|event| client.ready(event));
        assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Wait);
        assert_eq!(client.completion().unwrap().buffer[..], [3; 512]);
    });
}

/// Whatever interest is named, it listens for both directions.
#[test]
fn to_another_token() {
    must_end(|| {
        let (mut poll, mut scratch) = (Poll::new().unwrap(), Scratch::new());
        let (mut client, mut peer) = unregistered();
        poll.registry().register(&mut client, Token(1), Interest::READABLE).unwrap();
        client.read(vec![0; 512], 0).unwrap();
        assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Wait);
        answer(&mut peer, 3);
        poll.registry().reregister(&mut client, Token(2), Interest::WRITABLE).unwrap();
        let told = events(&mut poll, None);
        assert!(told.iter().all(|event| event.token() == Token(2) && event.is_readable() && event.is_writable()));
        told.iter().for_each(|event| client.ready(event));
        assert_eq!(client.turn(&mut scratch, Instant::now()), Turn::Wait);
        assert_eq!(client.completion().unwrap().buffer[..], [3; 512]);
    });
}

#[test]
fn to_another_thread() {
    must_end(|| {
        let (mut rig, mut peer) = Rig::new(ClientOptions::default());
        rig.client.read(vec![0; 512], 0).unwrap();
        assert_eq!(rig.turn(), Turn::Wait);
        answer(&mut peer, 3);
        let buffer = std::thread::spawn(move || rig.completions(1).remove(0).buffer).join().unwrap();
        assert_eq!(buffer[..], [3; 512]);
    });
}
