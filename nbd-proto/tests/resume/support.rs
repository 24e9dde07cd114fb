//! A journal, and what goes over its connections.

use nbd_proto::error::{CommandError, Ended, ServerError};
use nbd_proto::handshake::{ConnectSettings, Flow, Negotiated, Status};
use nbd_proto::resume::{End, EntryId, Journal, JournalSettings};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::number::ErrorValue;

/// What an oldstyle server with these flags is known by.
pub(crate) fn negotiated(size: u64, flags: TransmissionFlags) -> Negotiated {
    let mut flow = nbd_proto::handshake::Connect::new(ConnectSettings::new(""));
    let (mut stream, mut out) = (Vec::new(), Vec::new());
    Greeting::Oldstyle(ExportFacts { size, flags: flags | TransmissionFlags::HAS_FLAGS }).emit(&mut stream);
    let mut rest = &stream[..];
    while flow.status() == Status::NeedInput {
        let count = flow.input(rest, &mut out).unwrap();
        rest = &rest[count..];
    }
    flow.finish().unwrap()
}

pub(crate) fn all() -> TransmissionFlags {
    TransmissionFlags::all() - TransmissionFlags::READ_ONLY
}

pub(crate) fn journal() -> Journal {
    Journal::new(&negotiated(1 << 20, all()), JournalSettings::default())
}

pub(crate) fn limited(max_kept: u64) -> Journal {
    Journal::new(&negotiated(1 << 20, all()), JournalSettings::default().with_max_kept(max_kept))
}

/// Everything that may be sent now.
pub(crate) fn sendable(journal: &mut Journal) -> Vec<EntryId> {
    std::iter::from_fn(|| journal.next_to_send()).map(|(id, _)| id).collect()
}

pub(crate) fn submit(journal: &mut Journal, commands: impl IntoIterator<Item = Command>) -> Vec<EntryId> {
    commands.into_iter().map(|command| journal.submit(command)).collect()
}

/// Sends what may be sent, and has it succeed, until nothing is left.
pub(crate) fn run(journal: &mut Journal) {
    loop {
        let sent = sendable(journal);
        if sent.is_empty() {
            break;
        }
        for id in sent {
            assert!(matches!(journal.done(id, &Ok(())), End::Told { .. } | End::Own));
        }
    }
}

pub(crate) fn reconnect(journal: &mut Journal) {
    journal.lost();
    assert_eq!(sendable(journal), []);
    journal.connected();
}

pub(crate) fn failure(command: Command, error: ErrorValue) -> CommandError {
    let error = ServerError { command: command.command, error, message: String::new(), offset: None };
    CommandError::Server(Box::new(error))
}

pub(crate) fn cut_off() -> CommandError {
    CommandError::Connection(Ended::AtBoundary { awaiting: "a reply" }.into())
}
