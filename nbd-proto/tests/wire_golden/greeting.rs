//! Greetings of the three handshake styles, client flags, and the end of an `EXPORT_NAME`.

use nbd_proto::wire::flags::{ClientFlags, HandshakeFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};

use crate::octets::octets;
use crate::{patched, streamed};

#[track_caller]
fn greeting(golden: &str, value: Greeting) {
    streamed(&octets(golden), &value, Greeting::parse, Greeting::emit);
}

#[track_caller]
fn client_flags(golden: &str, value: ClientFlags) {
    streamed(&octets(golden), &value, |input| Ok(ClientFlags::parse(input)), ClientFlags::emit);
}

#[track_caller]
fn export_facts(golden: &str, no_zeroes: bool, value: ExportFacts) {
    let parse = |input: &[u8]| Ok(ExportFacts::parse(input, no_zeroes));
    streamed(&octets(golden), &value, parse, |value, out| value.emit(no_zeroes, out));
}

// H2
#[test]
fn newstyle() {
    greeting("'NBDMAGIC' 49484156454f5054 0000", Greeting::Newstyle(HandshakeFlags::empty()));
}

// H2
#[test]
fn fixed_newstyle() {
    greeting("4e42444d41474943 'IHAVEOPT' 0001", Greeting::Newstyle(HandshakeFlags::FIXED_NEWSTYLE));
    let flags = HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES;
    greeting("'NBDMAGIC' 'IHAVEOPT' 0003", Greeting::Newstyle(flags));
}

// H3
#[test]
fn unknown_handshake_flags_are_no_error_and_are_kept() {
    greeting("'NBDMAGIC' 'IHAVEOPT' 8101", Greeting::Newstyle(HandshakeFlags::from_bits_retain(0x8101)));
}

// H2 H5
#[test]
fn oldstyle() {
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::SEND_FLUSH;
    let golden = "'NBDMAGIC' 0000420281861253 0000000000100000 00000005 00*124";
    greeting(golden, Greeting::Oldstyle(ExportFacts { size: 1 << 20, flags }));
}

// H5
#[test]
fn the_reserved_bytes_of_an_oldstyle_greeting_are_skipped_whatever_they_are() {
    let golden = octets("'NBDMAGIC' 0000420281861253 0000000000000200 0000ffff 00*124");
    let input = patched(&golden, 28, &[0xa5; 124]);
    let facts = ExportFacts { size: 512, flags: TransmissionFlags::from_bits_retain(0xffff) };
    assert_eq!(Greeting::parse(&input), Ok(Some((Greeting::Oldstyle(facts), 152))));
}

// H3
#[test]
fn client_flags_of_each_kind() {
    client_flags("00000000", ClientFlags::empty());
    client_flags("00000001", ClientFlags::FIXED_NEWSTYLE);
    client_flags("00000002", ClientFlags::NO_ZEROES);
    client_flags("00000003", ClientFlags::FIXED_NEWSTYLE | ClientFlags::NO_ZEROES);
    client_flags("80000001", ClientFlags::from_bits_retain(0x8000_0001));
}

// O8
#[test]
fn export_name_reply_with_zeroes() {
    let flags = TransmissionFlags::HAS_FLAGS
        | TransmissionFlags::SEND_FLUSH
        | TransmissionFlags::SEND_FUA
        | TransmissionFlags::SEND_TRIM
        | TransmissionFlags::SEND_WRITE_ZEROES
        | TransmissionFlags::CAN_MULTI_CONN;
    export_facts("0000000040000000 016d 00*124", false, ExportFacts { size: 1 << 30, flags });
}

// O8
#[test]
fn export_name_reply_without_zeroes() {
    let flags = TransmissionFlags::HAS_FLAGS | TransmissionFlags::READ_ONLY | TransmissionFlags::ROTATIONAL;
    export_facts("fffffffffffffe00 0013", true, ExportFacts { size: 0xffff_ffff_ffff_fe00, flags });
}

// O8
#[test]
fn the_reserved_bytes_of_an_export_name_reply_are_skipped_whatever_they_are() {
    let facts = ExportFacts { size: 1, flags: TransmissionFlags::HAS_FLAGS };
    let input = octets("0000000000000001 0001 a5*124");
    assert_eq!(ExportFacts::parse(&input, false), Some((facts, 134)));
    assert_eq!(ExportFacts::parse(&input, true), Some((facts, 10)));
}

#[test]
fn each_transmission_flag_has_its_bit() {
    for (bit, flag) in [
        TransmissionFlags::HAS_FLAGS,
        TransmissionFlags::READ_ONLY,
        TransmissionFlags::SEND_FLUSH,
        TransmissionFlags::SEND_FUA,
        TransmissionFlags::ROTATIONAL,
        TransmissionFlags::SEND_TRIM,
        TransmissionFlags::SEND_WRITE_ZEROES,
        TransmissionFlags::SEND_DF,
        TransmissionFlags::CAN_MULTI_CONN,
        TransmissionFlags::SEND_RESIZE,
        TransmissionFlags::SEND_CACHE,
        TransmissionFlags::SEND_FAST_ZERO,
        TransmissionFlags::BLOCK_STATUS_PAYLOAD,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(flag.bits(), 1 << bit);
    }
}
