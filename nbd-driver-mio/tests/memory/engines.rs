//! Client and server of the core alone, with bytes carried between them by hand.

use nbd_driver_mio::nbd_proto::handshake::{
    Connect, ConnectSettings, Flow, Offer, ServerHandshake, ServerHandshakeEvent, ServerHandshakeSettings,
    ServerStatus, Status,
};
use nbd_driver_mio::nbd_proto::transmission::{
    Client, ClientSettings, Command, Event, Outbound, ReadPart, Segment, Server, ServerEvent, ServerSettings,
};
use nbd_driver_mio::nbd_proto::wire::flags::TransmissionFlags;
use nbd_driver_mio::nbd_proto::wire::number::CommandType;

use crate::{Both, LENGTH, held};

/// What the engines own after so many reads at once, and as many writes.
pub(crate) fn idle(depth: usize, shrinks: bool) -> Both {
    let (mut client, mut server) = pair();
    for command in [Command::read(0, LENGTH as u64), Command::write(0, LENGTH as u64)] {
        for _ in 0..depth {
            client.submit(command).unwrap();
        }
        let mut ended = 0;
        while ended < depth {
            let wire = take(client.outbound());
            client.sent(wire.len());
            serve(&mut server, &wire);
            let wire = take(server.outbound());
            server.sent(wire.len());
            serve(&mut server, &[]);
            ended += hear(&mut client, &wire);
        }
    }
    assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    if shrinks {
        client.shrink();
        server.shrink();
    }
    Both { client: held(client), server: held(server) }
}

fn pair() -> (Box<Client>, Box<Server>) {
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    let mut flow = Connect::new(ConnectSettings::new(""));
    let mut handshake = ServerHandshake::new(ServerHandshakeSettings::default(), &mut to_client);
    while flow.status() != Status::Ready || handshake.status() != ServerStatus::Ready {
        let consumed = flow.input(&to_client, &mut to_server).unwrap();
        to_client.drain(..consumed);
        let advance = handshake.input(&to_server, &mut to_client).unwrap();
        if let Some(ServerHandshakeEvent::LookUp(_)) = advance.event {
            handshake.offer(&Offer::new(1 << 20, TransmissionFlags::SEND_FLUSH), &mut to_client).unwrap();
        }
        to_server.drain(..advance.consumed);
    }
    let client = Client::new(flow.finish().unwrap(), ClientSettings::default());
    let server = Server::new(handshake.finish().unwrap(), ServerSettings::default());
    (Box::new(client), Box::new(server))
}

/// The bytes that go out, with zeroes for payload.
fn take<Id: Copy>(outbound: Outbound<'_, Id>) -> Vec<u8> {
    let mut wire = Vec::new();
    for segment in outbound {
        match segment {
            Segment::Framing(bytes) => wire.extend_from_slice(bytes),
            Segment::Payload { range, .. } => wire.resize(wire.len() + range.len(), 0),
        }
    }
    wire
}

fn serve(server: &mut Server, mut wire: &[u8]) {
    loop {
        let advance = server.input(wire).unwrap();
        wire = &wire[advance.consumed..];
        match advance.event {
            Some(ServerEvent::Request(request)) if request.command == CommandType::WRITE => {
                server.receive(request.id).unwrap();
            }
            Some(ServerEvent::Request(request)) => {
                server.finish_read(request.id, &[ReadPart::Data(request.length)]).unwrap();
            }
            Some(ServerEvent::Received { id }) => server.finish(id).unwrap(),
            Some(_) => {}
            None if advance.consumed == 0 => break,
            None => {}
        }
    }
}

/// How many commands have ended.
fn hear(client: &mut Client, mut wire: &[u8]) -> usize {
    let mut ended = 0;
    loop {
        let advance = client.input(wire).unwrap();
        wire = &wire[advance.consumed..];
        match advance.event {
            Some(Event::Done { result, .. }) => {
                result.unwrap();
                ended += 1;
            }
            Some(_) => {}
            None if advance.consumed == 0 => break,
            None => {}
        }
    }
    ended
}
