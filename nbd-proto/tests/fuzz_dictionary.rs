//! The words that fuzzers are given are those of the protocol.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::magic;
use nbd_proto::wire::number::{ChunkType, CommandType, ErrorValue, InfoType, OptionCode, ReplyType};

/// Each entry is `NAME="…"`, in which `\xHH`, `\\` and `\"` stand for bytes.
fn parse(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut words = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, rest) = line.split_once('=').unwrap_or_else(|| panic!("no entry: {line}"));
        assert!(!name.is_empty() && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()), "{line}");
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let bytes = unescape(quoted.unwrap_or_else(|| panic!("no quotes: {line}")));
        assert!(!bytes.is_empty(), "an empty word: {line}");
        assert!(words.insert(name.to_owned(), bytes).is_none(), "twice: {line}");
    }
    words
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        assert!(byte.is_ascii_graphic() && byte != b'"', "{text}");
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'x') => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                Some(byte @ (b'\\' | b'"')) => byte,
                other => panic!("{other:?} behind a backslash: {text}"),
            },
            byte => byte,
        });
    }
    bytes
}

fn read() -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/nbd.dict");
    parse(&std::fs::read_to_string(path).unwrap())
}

/// The words whose name begins so, by the rest of it in capitals.
fn section(prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let named = |(name, bytes): (String, _)| name.strip_prefix(prefix).map(|rest| (rest.to_uppercase(), bytes));
    read().into_iter().filter_map(named).collect()
}

/// Each number that has a name in the specification is there, and nothing else.
fn assert_numbers(prefix: &str, bytes: usize, specified: &str, name: impl Fn(u32) -> Option<&'static str>) {
    let words = section(prefix);
    for (word, value) in &words {
        assert_eq!(value.len(), bytes, "{prefix}{word}");
        let number = value.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        assert_eq!(name(number), Some(&*format!("{specified}{word}")), "{prefix}{word}");
    }
    let low = 0..0x200;
    let all = low.clone().chain(low.clone().map(|low| low | 1 << 31)).chain(low.map(|low| low | 1 << 15));
    let names: std::collections::BTreeSet<_> = all.filter_map(&name).collect();
    assert_eq!(words.len(), names.len(), "{prefix}: {names:?}");
}

#[test]
fn magics_are_those_of_the_protocol() {
    let words = section("magic_");
    let eight = [
        ("NBDMAGIC", magic::NBDMAGIC),
        ("IHAVEOPT", magic::IHAVEOPT),
        ("OLDSTYLE", magic::OLDSTYLE),
        ("OPTION_REPLY", magic::OPTION_REPLY),
    ];
    let four = [
        ("REQUEST", magic::REQUEST),
        ("EXTENDED_REQUEST", magic::EXTENDED_REQUEST),
        ("SIMPLE_REPLY", magic::SIMPLE_REPLY),
        ("STRUCTURED_REPLY", magic::STRUCTURED_REPLY),
        ("EXTENDED_REPLY", magic::EXTENDED_REPLY),
    ];
    let eight = eight.map(|(name, magic)| (name.to_owned(), magic.to_be_bytes().to_vec()));
    let four = four.map(|(name, magic)| (name.to_owned(), magic.to_be_bytes().to_vec()));
    assert_eq!(words, eight.into_iter().chain(four).collect());
}

#[test]
fn numbers_are_those_of_the_protocol() {
    assert_numbers("option_", 4, "NBD_OPT_", |number| OptionCode(number).name());
    assert_numbers("reply_", 4, "NBD_REP_", |number| ReplyType(number).name());
    assert_numbers("error_", 4, "NBD_", |number| ErrorValue(number).name());
    let narrow = |number: u32| u16::try_from(number).ok();
    assert_numbers("info_", 2, "NBD_INFO_", |number| InfoType(narrow(number)?).name());
    assert_numbers("command_", 2, "NBD_CMD_", |number| CommandType(narrow(number)?).name());
    assert_numbers("chunk_", 2, "NBD_REPLY_TYPE_", |number| ChunkType(narrow(number)?).name());
}

#[test]
fn flags_are_those_of_the_protocol() {
    let flags = CommandFlags::all().iter_names();
    let flags: BTreeMap<_, _> =
        flags.map(|(name, flag)| (name.to_owned(), flag.bits().to_be_bytes().to_vec())).collect();
    assert_eq!(section("flags_"), flags);
}

#[test]
fn text_is_written_as_text() {
    let words = read();
    assert_eq!(words["name_base_allocation"], b"base:allocation");
    assert_eq!(words["length_4096"], [0, 0, 16, 0]);
}
