//! Servers by chance: they answer what they are asked, mostly well, and then their bytes are damaged.

use std::collections::VecDeque;

use nbd_proto::handshake::{ConnectSettings, Flow, ListSettings, Status, TlsPolicy};
use nbd_proto::limits::HandshakeLimits;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bytes::{
    self, ERRORS, EXPORT_NAME, GO, INFO, LIST, LIST_META_CONTEXT, SET_META_CONTEXT, ack, context, greeting, info,
    info_block_size, info_export, join, reply, server,
};
use crate::peer::Peer;

/// How a server answers an option.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// As it should, with so many replies.
    Well(usize),
    /// With an error.
    Error(u32, Vec<u8>),
    /// With a reply of any kind, before it answers well.
    Odd(u32, Vec<u8>),
    /// As if another option had been asked.
    Astray(u32),
}

impl Answer {
    fn bytes(&self, option: u32, no_zeroes: bool) -> Vec<u8> {
        match self {
            Self::Well(count) => well(option, *count, no_zeroes),
            Self::Error(kind, message) => reply(option, *kind, message),
            Self::Odd(kind, payload) => join(&[&reply(option, *kind, payload), &well(option, 1, no_zeroes)]),
            Self::Astray(other) => well(*other, 1, no_zeroes),
        }
    }
}

fn well(option: u32, count: usize, no_zeroes: bool) -> Vec<u8> {
    let between: Vec<u8> = match option {
        EXPORT_NAME => {
            return join(&[&bytes::export_facts(99, 1), if no_zeroes { &[] } else { &[0; 124] }]);
        }
        LIST => (0..count).flat_map(|n| server(["", "disk", "other"][n % 3], "text")).collect(),
        INFO | GO => (0..count)
            .flat_map(|n| match n % 4 {
                0 => info_block_size(option, 1, 4096, 1 << 25),
                1 => info(option, 0x99, &[7; 50]),
                2 => info(option, 1, b"canonical"),
                _ => info(option, 2, b"description"),
            })
            .chain(info_export(option, 1 << 30, 1))
            .collect(),
        LIST_META_CONTEXT | SET_META_CONTEXT => (0..)
            .zip(["base:allocation", "qemu:x"])
            .take(count)
            .flat_map(|(id, name)| context(option, id, name))
            .collect(),
        _ => vec![],
    };
    join(&[&between, &ack(option)])
}

pub(crate) fn any_answer() -> impl Strategy<Value = Answer> {
    let error = (proptest::sample::select(ERRORS.to_vec()), vec(any::<u8>(), 0..10));
    let kind = prop_oneof![1u32..5, any::<u32>()];
    prop_oneof![
        16 => (0usize..5).prop_map(Answer::Well),
        4 => error.prop_map(|(kind, message)| Answer::Error(kind, message)),
        1 => (kind, vec(any::<u8>(), 0..20)).prop_map(|(kind, payload)| Answer::Odd(kind, payload)),
        1 => (0u32..13).prop_map(Answer::Astray),
    ]
}

/// What is done to the bytes afterwards.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    None,
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::None => {}
            Self::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Self::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

pub(crate) fn any_damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        8 => Just(Damage::None),
        2 => (at(), 1..=u8::MAX).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => (at(), vec(any::<u8>(), 1..30)).prop_map(|(at, more)| Damage::Insert(at, more)),
        1 => at().prop_map(Damage::Cut),
    ]
}

/// A server's plan.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    hello: Vec<u8>,
    answers: Vec<Answer>,
    /// In clear, and inside TLS.
    damage: [Damage; 2],
    tail: Vec<u8>,
}

pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    let hello = prop_oneof![
        8 => (0u16..4).prop_map(greeting),
        1 => any::<u16>().prop_map(greeting),
        1 => any::<u32>().prop_map(|flags| bytes::oldstyle(1 << 20, flags & 0x1_ffff)),
    ];
    let tail = vec(any::<u8>(), 0..40);
    (hello, vec(any_answer(), 0..16), any_damage(), any_damage(), tail)
        .prop_map(|(hello, answers, clear, tls, tail)| Plan { hello, answers, damage: [clear, tls], tail })
}

impl Plan {
    /// Talks with a flow, and writes down what the server said.
    pub(crate) fn against<F: Flow>(&self, mut flow: F) -> Peer {
        let mut peer = Peer::says(&self.hello[..]);
        let mut answers: VecDeque<&Answer> = self.answers.iter().collect();
        let no_zeroes = self.hello.last().is_some_and(|flags| flags & 2 != 0);
        let (mut said, mut out, mut read) = (self.hello.clone(), Vec::new(), 4);
        loop {
            match flow.input(&said, &mut out) {
                Ok(0) => {}
                Ok(consumed) => {
                    said.drain(..consumed);
                    continue;
                }
                Err(_) => break,
            }
            match flow.status() {
                Status::SwitchToTls => {
                    peer = peer.in_tls();
                    if flow.tls_established(&mut out).is_err() {
                        break;
                    }
                }
                Status::NeedInput => {
                    let Some(header) = out.get(read..read + 16) else { break };
                    let option = u32::from_be_bytes(header[8..12].try_into().unwrap());
                    read += 16 + u32::from_be_bytes(header[12..].try_into().unwrap()) as usize;
                    let Some(answer) = answers.pop_front() else { break };
                    let answer = answer.bytes(option, no_zeroes);
                    peer = peer.then(&answer);
                    said.extend(answer);
                }
                _ => break,
            }
        }
        let mut peer = peer.then(&self.tail);
        self.damage[0].apply(&mut peer.clear);
        self.damage[1].apply(peer.tls.as_mut().unwrap_or(&mut Vec::new()));
        peer
    }
}

pub(crate) fn any_policy() -> impl Strategy<Value = TlsPolicy> {
    prop_oneof![Just(TlsPolicy::Off), Just(TlsPolicy::Opportunistic), Just(TlsPolicy::Required)]
}

pub(crate) fn any_limits() -> impl Strategy<Value = HandshakeLimits> {
    prop_oneof![
        3 => Just(HandshakeLimits::default()),
        1 => (0u32..6, 0u64..200).prop_map(|(replies, bytes)| {
            HandshakeLimits::default().with_replies_per_option(replies).with_reply_bytes(bytes)
        }),
    ]
}

pub(crate) fn any_pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1usize..8, 1usize..60, Just(20)], 1..30)
}

pub(crate) fn any_connect() -> impl Strategy<Value = ConnectSettings> {
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let queries = vec(proptest::sample::select(vec!["base:allocation", "qemu:", "x-y:z"]), 0..3);
    let name = proptest::sample::select(vec!["", "disk"]);
    (name, any_policy(), any_limits(), switches, queries).prop_map(|(name, tls, limits, switches, queries)| {
        let (extended, structured, details, list) = switches;
        let settings = ConnectSettings::new(name)
            .with_tls(tls)
            .with_limits(limits)
            .with_extended_headers(extended)
            .with_structured_replies(structured)
            .with_block_sizes(details)
            .with_list_contexts(list);
        queries.into_iter().fold(settings, ConnectSettings::with_meta_context)
    })
}

pub(crate) fn any_list() -> impl Strategy<Value = ListSettings> {
    (any_policy(), any_limits(), any::<[bool; 3]>()).prop_map(|(tls, limits, [extended, structured, details])| {
        ListSettings::default()
            .with_tls(tls)
            .with_limits(limits)
            .with_extended_headers(extended)
            .with_structured_replies(structured)
            .with_details(details)
    })
}
