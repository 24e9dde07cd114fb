//! Messages that do not begin as they must, and what their errors show.

use nbd_proto::error::{InvalidMessage, Message};
use nbd_proto::wire::greeting::Greeting;
use nbd_proto::wire::option::OptionHeader;
use nbd_proto::wire::option_reply::OptionReplyHeader;
use nbd_proto::wire::reply::ReplyHeader;
use nbd_proto::wire::request::{CompactRequest, ExtendedRequest};

use crate::octets::octets;

fn wrong<T>(message: Message, got: u64) -> Result<T, InvalidMessage> {
    Err(InvalidMessage::Magic { message, got })
}

// H1
#[test]
fn greeting() {
    let input = octets("'NBDMAGIK'");
    assert_eq!(Greeting::parse(&input), wrong(Message::Greeting, 0x4e42_444d_4147_494b));
    assert_eq!(Greeting::parse(&input[..7]), Ok(None));
}

// H1
#[test]
fn greeting_shows_the_value_and_asks_whether_this_is_an_nbd_server() {
    let error = Greeting::parse(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("0x485454502f312e31"), "{text}");
    assert!(text.contains("is this an NBD server?"), "{text}");
}

// H2
#[test]
fn greeting_style() {
    let input = octets("'NBDMAGIC' 'IHAVEOPS'");
    assert_eq!(Greeting::parse(&input), wrong(Message::GreetingStyle, 0x4948_4156_454f_5053));
    assert_eq!(Greeting::parse(&input[..15]), Ok(None));
}

// H2
#[test]
fn greeting_style_one_off_the_oldstyle_magic() {
    let input = octets("'NBDMAGIC' 0000420281861254");
    assert_eq!(Greeting::parse(&input), wrong(Message::GreetingStyle, 0x0000_4202_8186_1254));
}

// H2
#[test]
fn greeting_style_shows_the_value() {
    let text = Greeting::parse(&octets("'NBDMAGIC' 00000000deadbeef")).unwrap_err().to_string();
    assert!(text.contains("0x00000000deadbeef"), "{text}");
}

// R0
#[test]
fn option_request() {
    let input = octets("'NBDMAGIC'");
    assert_eq!(OptionHeader::parse(&input), wrong(Message::OptionRequest, 0x4e42_444d_4147_4943));
    assert_eq!(OptionHeader::parse(&input[..7]), Ok(None));
}

// R1
#[test]
fn option_reply() {
    let input = octets("0003e889045565aa");
    assert_eq!(OptionReplyHeader::parse(&input), wrong(Message::OptionReply, 0x0003_e889_0455_65aa));
    assert_eq!(OptionReplyHeader::parse(&input[..7]), Ok(None));
}

// T1
#[test]
fn compact_request() {
    let input = octets("25609514");
    assert_eq!(CompactRequest::parse(&input), wrong(Message::Request, 0x2560_9514));
    assert_eq!(CompactRequest::parse(&input[..3]), Ok(None));
}

// T1
#[test]
fn compact_request_where_an_extended_one_is_due() {
    assert_eq!(ExtendedRequest::parse(&octets("25609513")), wrong(Message::Request, 0x2560_9513));
    assert_eq!(ExtendedRequest::parse(&octets("256095")), Ok(None));
}

#[test]
fn extended_request_where_a_compact_one_is_due() {
    assert_eq!(CompactRequest::parse(&octets("21e41c71")), wrong(Message::Request, 0x21e4_1c71));
}

// T2
#[test]
fn reply() {
    let input = octets("67446699");
    assert_eq!(ReplyHeader::parse(&input), wrong(Message::Reply, 0x6744_6699));
    assert_eq!(ReplyHeader::parse(&input[..3]), Ok(None));
}

// T2
#[test]
fn reply_shows_the_value() {
    let text = ReplyHeader::parse(&octets("25609513")).unwrap_err().to_string();
    assert!(text.contains("25609513"), "{text}");
}

// H5
#[test]
fn oldstyle_flags_in_the_upper_half() {
    for got in [0x0001_0000_u32, 0x0001_0001, 0x8000_0000, 0xffff_ffff] {
        let input = [octets("'NBDMAGIC' 0000420281861253 0000000000100000"), got.to_be_bytes().to_vec()].concat();
        // Known as soon as the flags are there: the 124 zero bytes are not awaited.
        assert_eq!(Greeting::parse(&input), Err(InvalidMessage::OldstyleFlags { got }));
        assert_eq!(Greeting::parse(&input[..27]), Ok(None));
    }
}

#[test]
fn a_magic_of_32_bits_shows_as_many() {
    let request = CompactRequest::parse(b"GET / HTTP/1.1").unwrap_err().to_string();
    let reply = ReplyHeader::parse(b"GET / HTTP/1.1").unwrap_err().to_string();
    for text in [request, reply] {
        assert!(text.contains("0x47455420") && !text.contains("0x00"), "{text}");
    }
}
