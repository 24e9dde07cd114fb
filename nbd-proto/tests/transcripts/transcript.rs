//! A recording, understood.

use std::ops::Range;
use std::path::Path;

use nbd_proto::handshake::{MetaContext, ReplyStyle};
use nbd_proto::wire::flags::{ClientFlags, HandshakeFlags, TransmissionFlags};
use nbd_proto::wire::greeting::{ExportFacts, Greeting};
use nbd_proto::wire::info::{BlockSizes, Info};
use nbd_proto::wire::number::{CommandType, ContextId, OptionCode, ReplyType};
use nbd_proto::wire::option::{OptionHeader, OptionRequest};
use nbd_proto::wire::option_reply::{OptionReply, OptionReplyHeader};
use nbd_proto::wire::request::BlockStatusPayload;
use nbd_testkit::{Recording, Speaker};

use crate::messages::{Reply, Sent, replies, requests};

/// An option, and what came of it.
pub(crate) struct Asked {
    pub(crate) option: OptionCode,
    payload: Vec<u8>,
    /// How much the server had said before it.
    pub(crate) behind: usize,
    pub(crate) outcome: Result<(), ReplyType>,
}

impl Asked {
    pub(crate) fn request(&self) -> OptionRequest<'_> {
        OptionRequest::parse(self.option, &self.payload).unwrap()
    }
}

/// One session from the greeting to the end.
pub(crate) struct Transcript {
    pub(crate) name: String,
    /// All that the server said. Its greeting offers only what the client took up: no engine of ours is that modest.
    pub(crate) server: Vec<u8>,
    /// All that the client said. Its contexts have the ids that our server gives them.
    pub(crate) client: Vec<u8>,
    pub(crate) greeting: Greeting,
    pub(crate) options: Vec<Asked>,
    /// What the server told of the export that was used or asked about last.
    pub(crate) facts: ExportFacts,
    pub(crate) block_sizes: Option<BlockSizes>,
    pub(crate) contexts: Vec<MetaContext>,
    pub(crate) style: ReplyStyle,
    /// Where the client's part of the handshake ends.
    pub(crate) handshake: usize,
    /// All messages of the handshake in the two streams.
    client_messages: Vec<Range<usize>>,
    server_messages: Vec<Range<usize>>,
    /// All requests but for the goodbye.
    pub(crate) requests: Vec<Sent>,
    pub(crate) goodbye: Option<Sent>,
    pub(crate) replies: Vec<Reply>,
}

impl Transcript {
    /// All recordings whose names begin so.
    pub(crate) fn all(prefix: &str) -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/recordings");
        let recordings = Recording::read_all(&folder).into_iter().filter(|(name, _)| name.starts_with(prefix));
        recordings.map(|(name, recording)| Self::new(name, &recording)).collect()
    }

    fn new(name: String, recording: &Recording) -> Self {
        let [client, server] = [Speaker::Client, Speaker::Server].map(|speaker| recording.said(speaker));
        let (greeting, greeted) = Greeting::parse(&server).unwrap().expect("a whole greeting");
        let mut transcript = Self {
            name,
            server,
            client,
            greeting,
            options: Vec::new(),
            facts: ExportFacts { size: 0, flags: TransmissionFlags::empty() },
            block_sizes: None,
            contexts: Vec::new(),
            style: ReplyStyle::Simple,
            handshake: 0,
            client_messages: Vec::new(),
            server_messages: Vec::new(),
            requests: Vec::new(),
            goodbye: None,
            replies: Vec::new(),
        };
        transcript.server_messages.push(0..greeted);
        let behind = |at| said_before(recording, at);
        let transmission = match greeting {
            Greeting::Oldstyle(facts) => {
                transcript.facts = facts;
                Some(greeted)
            }
            Greeting::Newstyle(offered) => transcript.haggle(offered, greeted, &behind),
        };
        if let Some(at) = transmission {
            transcript.requests = requests(&transcript.client, transcript.handshake, transcript.style, behind);
            transcript.replies = replies(&transcript.server, at, &transcript.requests);
            if transcript.requests.last().is_some_and(|last| last.header.command == CommandType::DISC) {
                transcript.goodbye = transcript.requests.pop();
            }
            transcript.rename_contexts();
        }
        transcript
    }

    /// Follows the options. Returns where in the server's stream the transmission phase begins, if it does.
    fn haggle(&mut self, offered: HandshakeFlags, greeted: usize, behind: &impl Fn(usize) -> usize) -> Option<usize> {
        let (flags, mut asked) = ClientFlags::parse(&self.client)?;
        self.client_messages.push(0..asked);
        let taken = HandshakeFlags::from_bits_retain(flags.bits() as u16) & offered;
        let mut modest = Vec::new();
        self.greeting = Greeting::Newstyle(taken);
        self.greeting.emit(&mut modest);
        self.server[..greeted].copy_from_slice(&modest);

        let mut answered = greeted;
        while asked < self.client.len() {
            let (header, length) = OptionHeader::parse(&self.client[asked..]).unwrap().expect("a whole header");
            let end = asked + length + header.length as usize;
            let payload = self.client[asked + length..end].to_vec();
            self.client_messages.push(asked..end);
            asked = end;
            self.handshake = end;
            let mut option = Asked { option: header.option, payload, behind: behind(end), outcome: Ok(()) };
            if option.option == OptionCode::EXPORT_NAME {
                let no_zeroes = flags.contains(ClientFlags::NO_ZEROES);
                let (facts, length) = ExportFacts::parse(&self.server[answered..], no_zeroes).expect("all facts");
                self.facts = facts;
                self.server_messages.push(answered..answered + length);
                self.options.push(option);
                return Some(answered + length);
            }
            if option.option != OptionCode::ABORT {
                option.outcome = self.outcome(&option, &mut answered);
            }
            let (code, outcome) = (option.option, option.outcome);
            self.options.push(option);
            match code {
                OptionCode::ABORT => return None,
                OptionCode::GO if outcome.is_ok() => return Some(answered),
                OptionCode::EXTENDED_HEADERS if outcome.is_ok() => self.style = ReplyStyle::Extended,
                OptionCode::STRUCTURED_REPLY if outcome.is_ok() => self.style = ReplyStyle::Structured,
                _ => {}
            }
        }
        None
    }

    /// Follows the replies to one option.
    fn outcome(&mut self, option: &Asked, answered: &mut usize) -> Result<(), ReplyType> {
        if option.option == OptionCode::SET_META_CONTEXT {
            self.contexts.clear();
        }
        loop {
            let rest = &self.server[*answered..];
            let (header, length) = OptionReplyHeader::parse(rest).unwrap().expect("a whole header");
            assert_eq!(header.option, option.option, "{}", self.name);
            let end = length + header.length as usize;
            let reply = OptionReply::parse(header.reply, &rest[length..end]).unwrap();
            self.server_messages.push(*answered..*answered + end);
            *answered += end;
            match reply {
                OptionReply::Ack => return Ok(()),
                OptionReply::Error { reply, .. } => return Err(reply),
                OptionReply::Info(Info::Export(facts)) => self.facts = facts,
                OptionReply::Info(Info::BlockSize(sizes)) => self.block_sizes = Some(sizes),
                OptionReply::MetaContext { id, name } if option.option == OptionCode::SET_META_CONTEXT => {
                    self.contexts.push(MetaContext { id, name: name.to_owned() });
                }
                _ => {}
            }
        }
    }

    /// Puts the ids that our server gives to contexts, places from 1 on, into the client's stream.
    fn rename_contexts(&mut self) {
        for sent in &self.requests {
            if sent.header.command == CommandType::BLOCK_STATUS && !sent.payload.is_empty() {
                let mut payload = BlockStatusPayload::parse(&sent.payload).unwrap();
                for id in &mut payload.contexts {
                    let place = self.contexts.iter().position(|context| context.id == *id).unwrap();
                    *id = ContextId(place as u32 + 1);
                }
                let mut bytes = Vec::new();
                payload.emit(&mut bytes);
                self.client[sent.place.end - bytes.len()..sent.place.end].copy_from_slice(&bytes);
            }
        }
    }

    /// Whether a cut there leaves a part of one of the server's messages.
    pub(crate) fn cuts_server_message(&self, at: usize) -> bool {
        let replies = self.replies.iter().map(|reply| &reply.place);
        self.server_messages.iter().chain(replies).any(|place| place.start < at && at < place.end)
    }

    /// The same for the client's.
    pub(crate) fn cuts_client_message(&self, at: usize) -> bool {
        let requests = self.requests.iter().chain(&self.goodbye).map(|sent| &sent.place);
        self.client_messages.iter().chain(requests).any(|place| place.start < at && at < place.end)
    }
}

/// How much the server had said before the client's byte in front of `at`.
fn said_before(recording: &Recording, at: usize) -> usize {
    let (mut client, mut server) = (0, 0);
    for record in recording.records() {
        match record.speaker {
            Speaker::Client => client += record.bytes.len(),
            Speaker::Server => server += record.bytes.len(),
        }
        if client >= at {
            break;
        }
    }
    server
}
