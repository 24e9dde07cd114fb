//! A look at every step an engine takes, for tracing and for tools that explain a connection.
//!
//! Unset, it costs one comparison per message. All numbers print with their names.

use alloc::boxed::Box;

use crate::error::Error;
use crate::wire::flags::ClientFlags;
use crate::wire::greeting::{ExportFacts, Greeting};
use crate::wire::number::{CommandType, Cookie, InfoType, OptionCode};
use crate::wire::option::OptionRequest;
use crate::wire::option_reply::OptionReply;
use crate::wire::reply::ReplyHeader;
use crate::wire::request::ExtendedRequest;

/// One step. In a client requests are produced and replies come; in a server it is the other way round.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// The server's first message came, or was produced.
    Greeting(Greeting),
    /// The client flags were produced, or came.
    ClientFlags(ClientFlags),
    /// An option request was produced, or came. One that came malformed is shown as
    /// [`OptionRequest::Unknown`], whatever its option.
    OptionRequest(&'a OptionRequest<'a>),
    /// An option reply came, or was produced.
    OptionReply {
        /// The option it answers.
        option: OptionCode,
        /// The reply.
        reply: OptionReply<'a>,
    },
    /// An information of a type nobody knows came, and is skipped.
    SkippedInfo {
        /// The option it answers.
        option: OptionCode,
        /// Its type.
        info: InfoType,
        /// Length of its payload behind the type, in bytes.
        length: u32,
    },
    /// An option came whose payload a server does not look at: it is skipped, and then answered.
    SkippedOption {
        /// The option.
        option: OptionCode,
        /// Length of its payload in bytes.
        length: u32,
    },
    /// The answer to `EXPORT_NAME` came, or was produced.
    ExportName(ExportFacts),
    /// TLS is up.
    TlsEstablished,
    /// A request was produced, or came. Compact ones are shown in the wider form.
    Request(ExtendedRequest),
    /// A reply header came, or was produced.
    Reply {
        /// The command it answers.
        command: CommandType,
        /// The header.
        header: ReplyHeader,
    },
    /// A client's command ended.
    Done {
        /// Its cookie.
        cookie: Cookie,
        /// Whether it succeeded.
        success: bool,
    },
    /// The connection is over.
    Fatal(&'a Error),
}

/// Something that wants to see [`Observation`]s. Any closure of that shape is one.
pub trait Observer: Send {
    /// Takes one step.
    fn observe(&mut self, what: &Observation<'_>);
}

impl<F: FnMut(&Observation<'_>) + Send> Observer for F {
    fn observe(&mut self, what: &Observation<'_>) {
        self(what);
    }
}

/// The place of an observer in an engine.
#[derive(Default)]
pub(crate) struct Hook(pub(crate) Option<Box<dyn Observer>>);

impl Hook {
    #[inline]
    pub(crate) fn observe<'a>(&mut self, what: impl FnOnce() -> Observation<'a>) {
        if let Some(observer) = &mut self.0 {
            observer.observe(&what());
        }
    }
}

impl core::fmt::Debug for Hook {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.0.is_some() { "Hook(set)" } else { "Hook(unset)" })
    }
}
