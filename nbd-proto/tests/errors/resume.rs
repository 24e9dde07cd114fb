//! What ends a client that could go on after a lost connection.

use nbd_proto::handshake::{MetaContext, Negotiated, ReplyStyle};
use nbd_proto::resume::{Broken, Differs, End, Journal, same_export};
use nbd_proto::transmission::Command;
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::info::BlockSizes;
use nbd_proto::wire::number::{ContextId, ErrorValue};

use crate::resuming::{failure, journal, limited, negotiated, reconnect, sendable};
use crate::{Provoked, row};

fn differing(change: impl FnOnce(&mut Negotiated)) -> Differs {
    let was = negotiated(4096, TransmissionFlags::READ_ONLY);
    let mut now = was.clone();
    change(&mut now);
    same_export(&was, &now).unwrap_err()
}

/// A write was told, and then the next thing that is sent fails.
fn broken(mut journal: Journal, lost: bool) -> Broken {
    journal.submit(Command::write(512, 100));
    let write = sendable(&mut journal)[0];
    assert_eq!(journal.done(write, &Ok(())), End::Told { keep: true });
    if lost {
        reconnect(&mut journal);
    }
    let (id, command) = journal.next_to_send().unwrap();
    match journal.done(id, &Err(failure(command, ErrorValue::EIO))) {
        End::Broken(broken) => broken,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn table() -> Vec<Provoked> {
    let sizes = BlockSizes { minimum: 1, preferred: 4096, maximum: 65_536 };
    let context = MetaContext { id: ContextId(1), name: "base:allocation".to_owned() };
    vec![
        row(
            "Change",
            &broken(journal(), true),
            "NBD_CMD_WRITE of 100 bytes at 512 had succeeded, but fails now that it is sent again on a new connection: the \
             server failed NBD_CMD_WRITE with NBD_EIO (input/output error)",
        ),
        row(
            "Flush",
            &broken(limited(1), false),
            "the server cannot flush what it was sent before, and no more of it can be kept: the server failed \
             NBD_CMD_FLUSH with NBD_EIO (input/output error)",
        ),
        row("Size", &differing(|now| now.info.size = 8192), "the export had 4096 bytes, and now has 8192"),
        row(
            "Flags",
            &differing(|now| now.info.flags = TransmissionFlags::HAS_FLAGS),
            "the export had the flags HAS_FLAGS | READ_ONLY, and now has HAS_FLAGS",
        ),
        row(
            "BlockSizes",
            &differing(|now| now.info.block_sizes = Some(sizes)),
            "the export had no block sizes, and now has block sizes 1/4096/65536",
        ),
        row(
            "ReplyStyle",
            &differing(|now| now.reply_style = ReplyStyle::Structured),
            "the server sent simple replies, and now sends structured ones",
        ),
        row(
            "Contexts",
            &differing(|now| now.contexts.push(context)),
            "the metadata context \"base:allocation\" was selected on one of the two connections only",
        ),
        row("Tls", &differing(|now| now.tls = true), "the connection was not inside TLS, and now is"),
    ]
}
