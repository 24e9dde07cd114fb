//! Both directions of each recorded connection, under the name of the recording.

use std::path::Path;

use nbd_proto::fuzzing::{ClientSessionHeader, ServerSessionHeader};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::{ClientFlags, CommandFlags};
use nbd_proto::wire::number::{CommandType, InfoType};
use nbd_proto::wire::option::{InfoRequest, OptionHeader, OptionRequest};
use nbd_proto::wire::request::{CompactRequest, ExtendedRequest};
use nbd_testkit::{Recording, Speaker};

use crate::option_reply::{BARE, TLS_OPPORTUNISTIC, script};

type Seeds = Vec<(String, Vec<u8>)>;

/// How much of what a server said belongs to the handshake at the most.
const HANDSHAKE: usize = 2048;

/// What the servers said, to a client that wishes and asks for what the recorded one did.
pub fn client_session() -> Seeds {
    let seed = |client: &[u8], server: &[u8]| {
        let (options, rest) = options(client, server);
        let wishes = options.iter().fold(0, |wishes, option| wishes | wish(option));
        ClientSessionHeader { wishes, ..ClientSessionHeader::new(&commands(rest)) }.before(server)
    };
    seeds(seed)
}

/// What the clients said, to a server that offers all.
pub fn server_session() -> Seeds {
    seeds(|client, _| ServerSessionHeader::GENEROUS.before(client))
}

/// What the servers said while hands were shaken, to a client that chooses the options that the recorded one did.
pub fn option_reply() -> Seeds {
    let seed = |client: &[u8], server: &[u8]| {
        let (options, _) = options(client, server);
        let starttls = options.contains(&OptionRequest::StartTls);
        let numbers: Vec<u8> = options.iter().map(number).collect();
        let basics = BARE | if starttls { TLS_OPPORTUNISTIC } else { 0 };
        script(basics, 0, &numbers, 0, &server[..server.len().min(HANDSHAKE)], &[])
    };
    seeds(seed)
}

fn seeds(seed: impl Fn(&[u8], &[u8]) -> Vec<u8>) -> Seeds {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    let recordings = Recording::read_all(&folder).into_iter();
    recordings.map(|(name, it)| (name, seed(&it.said(Speaker::Client), &it.said(Speaker::Server)))).collect()
}

/// The options that the client chose, and what it said behind the handshake.
fn options<'a>(client: &'a [u8], server: &[u8]) -> (Vec<OptionRequest<'a>>, &'a [u8]) {
    if !server[8..].starts_with(b"IHAVEOPT") {
        return (Vec::new(), client);
    }
    let (mut options, mut rest) = (Vec::new(), &client[ClientFlags::parse(client).expect("client flags").1..]);
    while let Ok(Some((header, length))) = OptionHeader::parse(rest) {
        let (payload, behind) = rest[length..].split_at(header.length as usize);
        options.push(OptionRequest::parse(header.option, payload).expect("an option as it should be"));
        rest = behind;
    }
    (options, rest)
}

/// What an option comes of, as [`ClientSessionHeader::wishes`] has it.
fn wish(option: &OptionRequest<'_>) -> u8 {
    match option {
        OptionRequest::ExtendedHeaders => 1,
        OptionRequest::StructuredReply => 1 << 1,
        OptionRequest::Go(InfoRequest { requests, .. }) | OptionRequest::Info(InfoRequest { requests, .. }) => {
            let asks = |info| u8::from(requests.contains(&info));
            asks(InfoType::BLOCK_SIZE) << 2 | asks(InfoType::NAME) << 3
        }
        OptionRequest::ListMetaContext(_) => 1 << 4,
        OptionRequest::SetMetaContext(request) => (request.queries.len().min(3) as u8) << 5,
        _ => 0,
    }
}

/// The number by which the body of `option_reply` chooses an option.
fn number(option: &OptionRequest<'_>) -> u8 {
    match option {
        OptionRequest::Go(_) => 0,
        OptionRequest::ExportName(_) => 1,
        OptionRequest::Abort => 2,
        OptionRequest::List => 3,
        OptionRequest::StartTls => 4,
        OptionRequest::Info(_) => 5,
        OptionRequest::StructuredReply => 6,
        OptionRequest::ListMetaContext(_) => 7,
        OptionRequest::SetMetaContext(request) if request.queries.len() < 2 => 8,
        OptionRequest::SetMetaContext(_) => 9,
        OptionRequest::ExtendedHeaders => 10,
        _ => 11,
    }
}

/// What was asked of the export, but for the goodbye.
fn commands(mut rest: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    while let Some((header, length)) = request(rest) {
        let has_payload = header.command == CommandType::WRITE || header.flags.contains(CommandFlags::PAYLOAD_LEN);
        rest = &rest[length + if has_payload { header.length as usize } else { 0 }..];
        let ExtendedRequest { command, offset, length, .. } = header;
        let flags = header.flags - CommandFlags::PAYLOAD_LEN;
        if command != CommandType::DISC {
            commands.push(Command { command, flags, offset, length });
        }
    }
    commands
}

fn request(bytes: &[u8]) -> Option<(ExtendedRequest, usize)> {
    let compact = || CompactRequest::parse(bytes).ok().flatten().map(|(compact, length)| (compact.into(), length));
    ExtendedRequest::parse(bytes).ok().flatten().or_else(compact)
}
