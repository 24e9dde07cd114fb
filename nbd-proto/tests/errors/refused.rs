//! What this side does not do.

use nbd_proto::error::Refused;
use nbd_proto::handshake::{ReplyStyle, TlsPolicy};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::{CommandFlags, TransmissionFlags};
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::{ContextId, InfoType, ReplyType};
use nbd_proto::wire::option::OptionRequest;

use crate::client::engine::{Engine, ask, set};
use crate::harness::Setup;
use crate::session::Session;
use crate::{Provoked, row};

fn choosing(request: &OptionRequest<'_>) -> Refused {
    Engine::fixed(TlsPolicy::Off).handshake.choose(request, &mut Vec::new()).unwrap_err()
}

fn submitting(change: impl FnOnce(&mut Setup), command: Command) -> Refused {
    let mut setup = Setup::new(ReplyStyle::Extended);
    change(&mut setup);
    setup.client().submit(command).unwrap_err()
}

fn too_many() -> Refused {
    let setup = Setup::new(ReplyStyle::Simple);
    let mut client = Setup { settings: setup.settings.with_max_in_flight(1), ..setup }.client();
    client.submit(Command::flush()).unwrap();
    client.submit(Command::flush()).unwrap_err()
}

fn closed() -> Refused {
    let mut client = Setup::new(ReplyStyle::Simple).client();
    client.disconnect().unwrap();
    client.submit(Command::flush()).unwrap_err()
}

fn stranger() -> Refused {
    let mut client = Setup::new(ReplyStyle::Extended).client();
    client.submit_for_contexts(Command::block_status(0, 512), &[ContextId(99)]).unwrap_err()
}

pub(crate) fn table() -> Vec<Provoked> {
    let read = |offset, length| submitting(|_| {}, Command::read(offset, length));
    let without = |flag, command| submitting(|setup| setup.flags -= flag, command);
    let all_infos: Vec<InfoType> = (0..=u16::MAX).map(InfoType).collect();
    let read_only = submitting(|setup| setup.flags |= TransmissionFlags::READ_ONLY, Command::write(0, 512));
    let blocks = BlockSizes { minimum: 512, preferred: 4096, maximum: 4096 };
    let sized = |offset, length| submitting(|setup| setup.sizes = Some(blocks), Command::read(offset, length));
    vec![
        row(
            "Option",
            &choosing(&set("", &[])),
            "NBD_OPT_SET_META_CONTEXT cannot be sent: it needs structured replies or extended headers first",
        ),
        row(
            "String",
            &choosing(&OptionRequest::ExportName("nul\0")),
            "an export name must be at most 4096 bytes without NUL",
        ),
        row(
            "TooMany",
            &choosing(&ask("", &all_infos)),
            "the list of information requests has more entries than a message can hold",
        ),
        row("QueueFull", &too_many(), "1 requests are in flight, which is the limit"),
        row("Closed", &closed(), "the connection takes no more requests"),
        row(
            "NotOffered",
            &without(TransmissionFlags::SEND_TRIM, Command::trim(0, 512)),
            "the server does not offer NBD_CMD_TRIM",
        ),
        row(
            "Flags",
            &submitting(|_| {}, Command::flush().with_flags(CommandFlags::FUA)),
            "NBD_CMD_FLUSH may not carry the flags FUA here",
        ),
        row("ReadOnly", &read_only, "the export is read-only, so NBD_CMD_WRITE would fail"),
        row(
            "OutOfBounds",
            &read(1 << 20, 512),
            "512 bytes at 1048576 go past the end of the export, which has 1048576 bytes",
        ),
        row(
            "Answer",
            &Session::fixed().refuse(ReplyType::ERR_UNKNOWN, "").unwrap_err(),
            "that cannot be answered: no event awaits an answer",
        ),
        row(
            "NoRange",
            &submitting(|_| {}, Command { length: 1, ..Command::flush() }),
            "NBD_CMD_FLUSH acts on the whole export, so its offset and length must be 0",
        ),
        row(
            "Unaligned",
            &sized(100, 512),
            "512 bytes at 100 are not aligned to the server's minimum block size of 512 bytes",
        ),
        row("TooLong", &sized(0, 8192), "8192 bytes are more than the 4096 that the server takes in one request"),
        row("Empty", &read(0, 0), "NBD_CMD_READ of 0 bytes has no defined outcome"),
        row(
            "NoContexts",
            &submitting(|setup| setup.contexts.clear(), Command::block_status(0, 512)),
            "no metadata context was selected in the handshake, so there is no block status",
        ),
        row("Context", &stranger(), "metadata context 0x63 was not selected, or is named twice"),
    ]
}
