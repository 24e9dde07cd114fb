//! `INFO`.

use nbd_proto::handshake::{Offer, ServerStatus};
use nbd_proto::wire::flags::TransmissionFlags;
use nbd_proto::wire::greeting::ExportFacts;
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option_reply::OptionReply;

use crate::bytes::{self, info};
use crate::session::{Event, Session, look_up, plain};

pub(crate) const SIZES: BlockSizes = BlockSizes { minimum: 512, preferred: 4096, maximum: 1 << 25 };

/// The answer that tells this, and the plain export first.
pub(crate) fn told(option: OptionCode, more: &[Info<'_>]) -> Vec<u8> {
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::READ_ONLY;
    let mut replies = vec![OptionReply::Info(Info::Export(ExportFacts { size: 4096, flags }))];
    replies.extend(more.iter().map(|info| OptionReply::Info(*info)));
    replies.push(OptionReply::Ack);
    bytes::replies(option, &replies)
}

/// Everything that can be told of the plain export.
pub(crate) fn wordy() -> Offer {
    plain().with_block_sizes(SIZES).with_canonical_name("its name").with_description("its words")
}

#[test]
fn the_caller_is_asked() {
    let mut session = Session::fixed();
    assert_eq!(session.ask(&info("disk", &[InfoType::NAME])), look_up(OptionCode::INFO, "disk"));
    session.offer(&plain()).unwrap();
    assert_eq!(session.server.status(), ServerStatus::NeedInput);
    let asks = Event::LookUp { option: OptionCode::INFO, name: String::new(), asks_block_sizes: true };
    assert_eq!(session.ask(&info("", &[InfoType::BLOCK_SIZE])), asks);
}

#[test]
fn size_and_flags_are_told_asked_or_not() {
    for requests in [&[][..], &[InfoType::EXPORT]] {
        let answer = Session::fixed().offered(&info("disk", requests), &plain());
        assert_eq!(answer, told(OptionCode::INFO, &[]));
    }
}

#[test]
fn a_canonical_name_and_block_sizes_are_told_unasked_but_a_description_is_not() {
    let answer = Session::fixed().offered(&info("disk", &[]), &wordy());
    assert_eq!(answer, told(OptionCode::INFO, &[Info::Name("its name"), Info::BlockSize(SIZES)]));
}

#[test]
fn all_that_is_asked_for_is_told() {
    let all = [InfoType::EXPORT, InfoType::NAME, InfoType::DESCRIPTION, InfoType::BLOCK_SIZE];
    let answer = Session::fixed().offered(&info("disk", &all), &wordy());
    let infos = [Info::Name("its name"), Info::Description(b"its words"), Info::BlockSize(SIZES)];
    assert_eq!(answer, told(OptionCode::INFO, &infos));
}

#[test]
fn a_client_that_asks_for_the_name_gets_its_own_if_there_is_no_other() {
    let answer = Session::fixed().offered(&info("disk", &[InfoType::NAME]), &plain());
    assert_eq!(answer, told(OptionCode::INFO, &[Info::Name("disk")]));
}

#[test]
fn what_there_is_not_is_not_told() {
    let answer = Session::fixed().offered(&info("disk", &[InfoType::DESCRIPTION, InfoType::BLOCK_SIZE]), &plain());
    assert_eq!(answer, told(OptionCode::INFO, &[]));
}

#[test]
fn what_nobody_knows_is_ignored_and_what_is_asked_twice_is_told_once() {
    let requests = [InfoType(0x1234), InfoType::DESCRIPTION, InfoType::DESCRIPTION, InfoType::EXPORT];
    let answer = Session::fixed().offered(&info("disk", &requests), &plain().with_description("its words"));
    assert_eq!(answer, told(OptionCode::INFO, &[Info::Description(b"its words")]));
}

#[test]
fn a_description_is_cut_between_two_characters() {
    let long = "\u{20ac}".repeat(2000);
    let offer = plain().with_description(long.clone());
    let answer = Session::fixed().offered(&info("", &[InfoType::DESCRIPTION]), &offer);
    assert_eq!(answer, told(OptionCode::INFO, &[Info::Description(&long.as_bytes()[..4095])]));
}

#[test]
fn it_can_be_refused_and_another_be_asked_for() {
    let mut session = Session::fixed();
    session.ask(&info("disk", &[]));
    session.refuse(ReplyType::ERR_UNKNOWN, "no such thing").unwrap();
    assert_eq!(session.sent(), bytes::error(OptionCode::INFO, ReplyType::ERR_UNKNOWN, "no such thing"));
    assert_eq!(session.offered(&info("other", &[]), &plain()), told(OptionCode::INFO, &[]));
}
