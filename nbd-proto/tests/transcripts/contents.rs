//! What the recordings show, together.

use std::collections::BTreeSet;
use std::fmt::Debug;

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::greeting::Greeting;
use nbd_proto::wire::number::{ChunkType, CommandType, OptionCode};
use nbd_proto::wire::reply::ReplyHeader;

use crate::transcript::Transcript;

#[track_caller]
fn assert_all_there<T: Ord + Debug>(shown: &BTreeSet<T>, wanted: impl IntoIterator<Item = T>) {
    let missing: Vec<_> = wanted.into_iter().filter(|wanted| !shown.contains(wanted)).collect();
    assert!(missing.is_empty(), "no recording has {missing:?}");
}

#[test]
fn every_option_is_asked_and_those_that_can_be_are_granted_and_refused() {
    let transcripts = Transcript::all("");
    let outcomes = transcripts.iter().flat_map(|transcript| &transcript.options);
    let shown: BTreeSet<_> = outcomes.map(|asked| (asked.option, asked.outcome.is_ok())).collect();
    let granted = [1, 2, 3, 6, 7, 8, 9, 10, 11].map(|number| (OptionCode(number), true));
    let refused = [5, 6, 7, 8, 11].map(|number| (OptionCode(number), false));
    assert_all_there(&shown, granted.into_iter().chain(refused));
}

#[test]
fn every_command_is_there_in_every_style_of_replies() {
    let transcripts = Transcript::all("");
    for style in [ReplyStyle::Simple, ReplyStyle::Structured, ReplyStyle::Extended] {
        let of_style = transcripts.iter().filter(|transcript| transcript.style == style);
        let shown: BTreeSet<_> =
            of_style.clone().flat_map(|one| &one.requests).map(|sent| sent.header.command).collect();
        let commands = [0, 1, 3, 4, 5, 6, 7].map(CommandType);
        // Without chunks there is no block status.
        assert_all_there(&shown, commands.into_iter().take(if style == ReplyStyle::Simple { 6 } else { 7 }));
        assert!(of_style.clone().any(|transcript| transcript.goodbye.is_some()));
    }
}

#[test]
fn every_kind_of_chunk_is_there() {
    let transcripts = Transcript::all("");
    let chunks = transcripts.iter().flat_map(|transcript| &transcript.replies).filter_map(|reply| match reply.header {
        ReplyHeader::Simple(_) => None,
        ReplyHeader::Structured(chunk) => Some(chunk.chunk),
        ReplyHeader::Extended(chunk) => Some(chunk.chunk),
    });
    let shown: BTreeSet<_> = chunks.collect();
    let wanted = [0, 1, 2, 5, 6, 0x8001].map(ChunkType);
    assert_all_there(&shown, wanted);
}

#[test]
fn every_style_of_greeting_is_there() {
    let transcripts = Transcript::all("");
    let greetings = transcripts.iter().map(|transcript| match transcript.greeting {
        Greeting::Oldstyle(_) => None,
        Greeting::Newstyle(flags) => Some(flags.bits()),
    });
    let shown: BTreeSet<_> = greetings.collect();
    assert_all_there(&shown, [None, Some(0), Some(1), Some(3)]);
}
