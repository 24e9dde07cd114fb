//! What client and server say to each other, as arrows between them.

use std::sync::{Arc, Mutex, PoisonError};

use nbd_proto::observe::Observation;
use nbd_proto::text::Escaped;
use nbd_proto::wire::greeting::Greeting;
use nbd_proto::wire::info::Info;
use nbd_proto::wire::number::{ChunkType, CommandType, OptionCode};
use nbd_proto::wire::option::OptionRequest;
use nbd_proto::wire::option_reply::OptionReply;
use nbd_proto::wire::reply::ReplyHeader;
use nbd_proto::wire::request::ExtendedRequest;

use crate::size;

/// Between the two lines that are the client and the server.
const WIDTH: usize = 70;

/// The most messages that are kept.
const MOST: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    ToServer(String),
    ToClient(String),
}

/// Collects what was said since the last picture.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<Message>>>);

impl Recorder {
    pub(super) fn observer(&self) -> impl Fn(&Observation<'_>) + Send + Sync + 'static {
        let Self(messages) = self.clone();
        move |step| {
            let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
            if messages.len() < MOST {
                messages.extend(message(step));
            }
        }
    }

    /// Shows it, and forgets it.
    pub(super) fn picture(&self) -> String {
        let mut lines = vec![format!("   client{:>WIDTH$}", "server"), line(&" ".repeat(WIDTH))];
        lines.extend(self.take().iter().map(Message::arrow));
        lines.push(line(&" ".repeat(WIDTH)) + "\n");
        lines.join("\n")
    }

    /// Forgets it.
    pub(super) fn clear(&self) {
        self.take();
    }

    fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Message {
    fn arrow(&self) -> String {
        let (Self::ToServer(text) | Self::ToClient(text)) = self;
        // An arrow has a shaft and a head at least.
        let text: String = text.chars().take(WIDTH - 6).collect();
        let shaft = "-".repeat(WIDTH - 4 - text.chars().count());
        line(&match self {
            Self::ToServer(_) => format!("- {text} {shaft}>"),
            Self::ToClient(_) => format!("<{shaft} {text} -"),
        })
    }
}

fn line(between: &str) -> String {
    format!("     |{between}|")
}

/// What a newcomer is told of a step.
fn message(step: &Observation<'_>) -> Option<Message> {
    Some(match step {
        Observation::Greeting(Greeting::Newstyle(_)) => {
            Message::ToClient("greeting: this is NBD, and there are options".to_owned())
        }
        Observation::ClientFlags(_) => Message::ToServer("flags: I know how to ask for them".to_owned()),
        Observation::OptionRequest(request) => Message::ToServer(option(request)),
        Observation::OptionReply { option, reply } => Message::ToClient(answer(*option, reply)),
        Observation::Request(request) => Message::ToServer(command(request)),
        Observation::Reply { header, .. } => Message::ToClient(reply(header)),
        _ => return None,
    })
}

fn option(request: &OptionRequest<'_>) -> String {
    let name = request.option();
    match request {
        OptionRequest::ExtendedHeaders => format!("{name}: lengths of 64 bits?"),
        OptionRequest::StructuredReply => format!("{name}: replies in parts?"),
        OptionRequest::SetMetaContext(wanted) => {
            format!("{name}: {}?", Escaped(&wanted.queries.join(", ")))
        }
        OptionRequest::Go(wanted) => format!("{name}: the disk \"{}\", please", Escaped(wanted.export)),
        _ => name.to_string(),
    }
}

fn answer(option: OptionCode, reply: &OptionReply<'_>) -> String {
    let name = reply.reply();
    match reply {
        OptionReply::Ack if option == OptionCode::GO => format!("{name}: it is yours"),
        OptionReply::Ack => format!("{name}: yes"),
        OptionReply::MetaContext { name: context, .. } => format!("{name}: {}", Escaped(context)),
        OptionReply::Info(info) => format!("{name}: {}", information(info)),
        OptionReply::Error { message, .. } => format!("{name}: {}", Escaped(&String::from_utf8_lossy(message))),
        _ => name.to_string(),
    }
}

fn information(info: &Info<'_>) -> String {
    match info {
        Info::Export(facts) => format!("{} bytes", facts.size),
        Info::Name(name) => format!("its name is \"{}\"", Escaped(name)),
        Info::Description(text) => Escaped(&String::from_utf8_lossy(text)).to_string(),
        Info::BlockSize(sizes) => format!("blocks of {} are best", size::human(sizes.preferred.into())),
        Info::Unknown { info, .. } => info.to_string(),
    }
}

fn command(request: &ExtendedRequest) -> String {
    let ExtendedRequest { command, offset, length, .. } = request;
    let with = if *command == CommandType::WRITE { ", with data" } else { "" };
    match *command {
        CommandType::FLUSH | CommandType::DISC => command.to_string(),
        _ => format!("{command} {length} bytes at {offset}{with}"),
    }
}

fn reply(header: &ReplyHeader) -> String {
    let (chunk, length) = match header {
        ReplyHeader::Simple(reply) if reply.error.0 == 0 => return "done".to_owned(),
        ReplyHeader::Simple(reply) => return reply.error.to_string(),
        ReplyHeader::Structured(reply) => (reply.chunk, u64::from(reply.length)),
        ReplyHeader::Extended(reply) => (reply.chunk, reply.length),
    };
    match chunk {
        ChunkType::NONE => format!("{chunk}: done"),
        // An offset of 8 bytes comes first.
        ChunkType::OFFSET_DATA => format!("{chunk}: {} bytes", length.saturating_sub(8)),
        ChunkType::OFFSET_HOLE => format!("{chunk}: zeroes, not sent"),
        _ => chunk.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use nbd_proto::observe::Observation;
    use nbd_proto::wire::number::{OptionCode, ReplyType};
    use nbd_proto::wire::option::OptionRequest;
    use nbd_proto::wire::option_reply::OptionReply;

    use super::{MOST, Message, Recorder, WIDTH};

    #[test]
    fn arrows_are_equally_long_and_fit_a_terminal() {
        for text in ["", "x", "déjà vu", &"long ".repeat(100)] {
            for message in [Message::ToServer(text.into()), Message::ToClient(text.into())] {
                let arrow = message.arrow();
                assert_eq!(arrow.chars().count(), "     ||".len() + WIDTH, "{arrow}");
                assert!(arrow.chars().count() <= 80, "{arrow}");
            }
        }
    }

    #[test]
    fn arrows_point_where_the_message_goes() {
        assert!(Message::ToServer("x".into()).arrow().ends_with("->|"));
        assert!(Message::ToClient("x".into()).arrow().contains("|<-"));
    }

    #[test]
    fn what_was_shown_is_forgotten() {
        let recorder = Recorder::default();
        let observe = recorder.observer();
        observe(&Observation::OptionRequest(&OptionRequest::ExtendedHeaders));
        let reply = OptionReply::Error { reply: ReplyType::ERR_UNSUP, message: b"no\x1b[2J" };
        observe(&Observation::OptionReply { option: OptionCode::EXTENDED_HEADERS, reply });
        let picture = recorder.picture();
        assert!(picture.contains("NBD_OPT_EXTENDED_HEADERS") && picture.contains("NBD_REP_ERR_UNSUP: no\\u{1b}[2J"));
        assert!(!recorder.picture().contains("NBD_"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let recorder = Recorder::default();
        let observe = recorder.observer();
        for _ in 0..10 * MOST {
            observe(&Observation::OptionRequest(&OptionRequest::List));
        }
        assert_eq!(recorder.picture().matches("NBD_OPT_LIST").count(), MOST);
    }
}
