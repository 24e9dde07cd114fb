//! Payload goes where its owner decides: in place by the landing, or lent from the input (T4).

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::transmission::{Command, Event, Landing};

use crate::harness::{CHUNKED, STYLES, Seen, link, patterns};
use crate::server::{LAST, MORE, OK, data, hole, simple};

// T4
#[test]
fn a_landing_is_there_from_the_header_on_and_shrinks() {
    for style in STYLES {
        let mut link = link(style);
        let cookie = link.submit(Command::read(100, 50));
        assert_eq!(link.client.landing(), None);
        let whole = patterns(100..150);
        let reply = match style {
            ReplyStyle::Simple => [simple(cookie, OK), whole.clone()].concat(),
            _ => link.chunk(cookie, LAST, &data(100, &whole)),
        };
        let header = reply.len() - 50;
        for byte in &reply[..header] {
            assert_eq!(link.client.landing(), None);
            link.feed(&[*byte]);
        }
        assert_eq!(link.client.landing(), Some(Landing { owner: cookie, range: 0..50 }));
        assert_eq!(link.land(&whole[..20]), 20);
        assert_eq!(link.client.landing(), Some(Landing { owner: cookie, range: 20..50 }));
        link.client.landed(0);
        assert_eq!(link.client.landing(), Some(Landing { owner: cookie, range: 20..50 }));
        // Bytes of a landing may be handed in like any others.
        link.feed(&whole[20..21]);
        assert_eq!(link.client.landing(), Some(Landing { owner: cookie, range: 21..50 }));
        assert_eq!(link.land(&whole[21..]), 29);
        assert_eq!(link.client.landing(), None);
        assert_eq!(link.seen(), [Seen::Data(cookie, 0..50), Seen::Done(cookie, Ok(()))]);
        assert_eq!(link.buffers[&cookie], whole);
    }
}

// T4
#[test]
fn landing_and_lent_data_give_the_same_buffer() {
    for style in CHUNKED {
        for size in [1, 2, 7, 20, 33, 64, 1000] {
            let run = |land: bool| {
                let mut link = link(style);
                let cookies = [Command::read(0, 300), Command::read(200, 300)].map(|command| link.submit(command));
                let stream = [
                    link.chunk(cookies[0], MORE, &data(100, &patterns(100..300))),
                    link.chunk(cookies[1], MORE, &data(200, &patterns(200..201))),
                    link.chunk(cookies[1], MORE, &hole(201, 99)),
                    link.chunk(cookies[0], LAST, &data(0, &patterns(0..100))),
                    link.chunk(cookies[1], LAST, &data(300, &patterns(300..500))),
                ]
                .concat();
                for piece in stream.chunks(size) {
                    if land { link.receive(piece) } else { link.feed(piece) }
                }
                assert_eq!(link.client.in_flight(), 0);
                (link.seen(), link.buffers)
            };
            assert_eq!(run(true), run(false));
        }
    }
}

#[test]
fn lent_data_points_into_the_input() {
    let mut link = link(ReplyStyle::Simple);
    let cookie = link.submit(Command::read(0, 4));
    let input = [simple(cookie, OK), b"abcd".to_vec()].concat();
    let advance = link.client.input(&input).unwrap();
    assert_eq!((advance.consumed, advance.event), (16, None));
    // The engine can be used while the event is held.
    let advance = link.client.input(&input[16..]).unwrap();
    assert_eq!(link.client.in_flight(), 1);
    link.client.submit(Command::flush()).unwrap();
    let Some(Event::Data { bytes, range, .. }) = advance.event else { panic!("{advance:?}") };
    assert_eq!((bytes.as_ptr(), range), (input[16..].as_ptr(), 0..4));
}

#[test]
fn more_than_the_landing_counts_as_all_of_it() {
    let mut link = link(ReplyStyle::Simple);
    let cookie = link.submit(Command::read(0, 4));
    link.feed(&simple(cookie, OK));
    link.client.landed(usize::MAX);
    link.poll();
    assert_eq!(link.seen(), [Seen::Done(cookie, Ok(()))]);
    // Nothing lands now, and saying so does nothing.
    link.client.landed(10);
    link.poll();
    assert_eq!((link.seen(), link.error), (vec![], None));
}

#[test]
fn holes_and_extents_have_no_landing() {
    for style in CHUNKED {
        let mut link = link(style);
        let read = link.submit(Command::read(0, 64));
        let status = link.submit(Command::block_status(0, 64));
        let chunks = [
            link.chunk(read, LAST, &hole(0, 64)),
            link.status(status, MORE, crate::harness::BASE, &[(32, 0), (32, 1)]),
        ];
        for byte in chunks.concat() {
            link.feed(&[byte]);
            assert_eq!(link.client.landing(), None);
        }
        assert_eq!(link.seen().len(), 3);
    }
}
