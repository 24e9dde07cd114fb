//! A client that leaves: at each byte of what it has to say.

use std::time::Instant;

use nbd_driver_mio::nbd_proto::handshake::ServerHandshakeSettings;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;
use nbd_driver_mio::{Accepting, Scratch, Server, ServerEvent, ServerOptions, Turn};

use crate::one::{Readiness, hello, offer, option, pair};
use crate::raw::{DISC, OPT_STRUCTURED_REPLY, READ, WRITE, request};

/// All that a client says in a short life, and how many requests are in it.
fn lives() -> Vec<Vec<u8>> {
    let requests = [
        request(READ, 1, 0, 3000),
        [request(WRITE, 2, 0, 40), vec![7; 40]].concat(),
        request(READ, 3, 0, 10),
        request(DISC, 0, 0, 0),
    ]
    .concat();
    let simple = hello();
    // NBD_OPT_EXTENDED_HEADERS is known by the client's requests alone, which are longer; chunks are enough here.
    let chunks = [&simple[..4], &option(OPT_STRUCTURED_REPLY, &[]), &simple[4..]].concat();
    [simple, chunks].into_iter().map(|hello| [hello, requests.clone()].concat()).collect()
}

/// How it leaves.
#[derive(Clone, Copy, Debug)]
enum Way {
    HangUp,
    CloseItsHalf,
}

/// Serves what there is, to its end. With how many requests were told, and whether it ended in order.
fn serve(mut server: Server, readiness: &mut Readiness, scratch: &mut Scratch, now: Instant) -> (usize, bool) {
    let (mut told, mut open) = (0, Vec::new());
    loop {
        readiness.tell(|event| server.ready(event));
        let turn = server.turn(scratch, now);
        let mut answered = false;
        while let Some(event) = server.event() {
            match event {
                ServerEvent::Request { request, .. } => {
                    told += 1;
                    open.push(request.id);
                    if request.command == CommandType::READ {
                        // The connection may be over by now, and then nobody is told.
                        answered |= server.finish_read(request.id, vec![1; request.length as usize]).is_ok();
                    } else {
                        answered |= server.finish(request.id).is_ok();
                    }
                }
                ServerEvent::Done { id, .. } => {
                    let at = open.iter().position(|open| *open == id).expect("a Done too many");
                    open.swap_remove(at);
                }
            }
        }
        match turn {
            Turn::Over => {
                assert!(open.is_empty(), "{} requests have no Done", open.len());
                return (told, server.end().unwrap().is_ok());
            }
            Turn::Wait if !answered => panic!("the client has left, and the server waits"),
            _ => {}
        }
    }
}

#[test]
fn is_the_end_of_the_connection_wherever_it_happens() {
    let now = Instant::now();
    let mut scratch = Scratch::new();
    for way in [Way::HangUp, Way::CloseItsHalf] {
        for life in lives() {
            let mut most = 0;
            for cut in 0..=life.len() {
                let (socket, mut raw) = pair();
                let mut accepting = Accepting::new(socket, ServerHandshakeSettings::default(), None, now);
                let mut readiness = Readiness::of(&mut accepting);
                raw.send(&life[..cut]);
                let mut raw = match way {
                    Way::HangUp => {
                        drop(raw);
                        None
                    }
                    Way::CloseItsHalf => {
                        raw.0.shutdown(std::net::Shutdown::Write).unwrap();
                        Some(raw)
                    }
                };
                let over = loop {
                    readiness.tell(|event| accepting.ready(event));
                    match accepting.turn(&mut scratch, now) {
                        Ok(Turn::Over) => break true,
                        Err(_) => break false,
                        Ok(turn) => {
                            let answered = accepting.answer_from(&[("disk", offer())]).unwrap();
                            assert!(answered || turn != Turn::Wait, "it waits for a client who left at {cut}: {way:?}");
                        }
                    }
                };
                if over {
                    let server = accepting.into_server(ServerOptions::default()).unwrap().unwrap();
                    let (told, in_order) = serve(server, &mut readiness, &mut scratch, now);
                    // Where nobody takes answers, sending one may show the end before the rest is read.
                    if matches!(way, Way::CloseItsHalf) {
                        assert!(told >= most, "at {cut}");
                        most = told;
                        assert_eq!(in_order, cut == life.len(), "at {cut}");
                    }
                } else {
                    drop(accepting);
                }
                if let Some(raw) = &mut raw {
                    std::io::copy(&mut raw.0, &mut std::io::sink()).unwrap();
                }
            }
            assert_eq!(most, if matches!(way, Way::HangUp) { 0 } else { 3 });
        }
    }
}
