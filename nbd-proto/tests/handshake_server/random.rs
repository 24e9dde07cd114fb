//! Random clients: sequences of options, well formed and not, and a caller whose answers hang on what is asked.

use nbd_proto::error::Error;
use nbd_proto::handshake::{HandshakeStyle, Negotiated, ServerHandshakeSettings, ServerStatus, ServerTls};
use nbd_proto::limits::{MIN_INPUT_BUFFER, ServerHandshakeLimits};
use nbd_proto::wire::number::{InfoType, OptionCode, ReplyType};
use nbd_proto::wire::option::OptionRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bytes;
use crate::info::SIZES;
use crate::observing::watch;
use crate::session::{Event, Session, plain};

/// What a client sends: in clear, and inside TLS each time it comes to that.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) settings: ServerHandshakeSettings,
    pub(crate) clear: Vec<u8>,
    pub(crate) tls: Vec<u8>,
}

/// All that can be seen of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) events: Vec<Event>,
    pub(crate) sent: Vec<u8>,
    pub(crate) steps: Vec<String>,
    pub(crate) left: usize,
    pub(crate) end: Result<Negotiated, Error>,
}

impl Client {
    /// Runs it. `piece` is given how many bytes are still to come, and tells how many come now.
    pub(crate) fn run(&self, piece: &mut dyn FnMut(usize) -> usize) -> Run {
        let mut session = Session::new(self.settings.clone());
        let (observer, steps) = watch();
        session.server.set_observer(observer);
        let mut events = Vec::new();
        let mut fed = feed(&mut session, &self.clear, &mut events, piece);
        if fed.is_ok() && session.server.tls_established().is_ok() {
            fed = feed(&mut session, &self.tls, &mut events, piece);
        }
        // What is left once all is over belongs to nobody, and how much of it was handed in hangs on the pieces.
        let left = if fed.is_ok() { session.unread.len() } else { 0 };
        let sent = session.sent();
        let end = match (fed, session.server.status()) {
            (Err(error), _) => Err(error),
            (Ok(()), ServerStatus::Ready) => session.server.finish().map(|accepted| accepted.negotiated().clone()),
            (Ok(()), _) => Err(session.server.eof()),
        };
        Run { events, sent, steps: steps(), left, end }
    }
}

/// Hands bytes in as they come, and answers what is asked.
fn feed(
    session: &mut Session,
    bytes: &[u8],
    events: &mut Vec<Event>,
    piece: &mut dyn FnMut(usize) -> usize,
) -> Result<(), Error> {
    let mut rest = bytes;
    loop {
        let mut event = session.try_send(b"")?;
        while let Some(asked) = event {
            answer(session, &asked);
            events.push(asked);
            event = session.try_send(b"")?;
        }
        if session.server.status() == ServerStatus::NeedInput {
            assert!(session.unread.len() < MIN_INPUT_BUFFER, "no progress on {} bytes", session.unread.len());
        }
        if rest.is_empty() {
            return Ok(());
        }
        let (now, later) = rest.split_at(piece(rest.len()).clamp(1, rest.len()));
        session.unread.extend_from_slice(now);
        rest = later;
    }
}

fn answer(session: &mut Session, asked: &Event) {
    let offer = plain().with_context("base:allocation").with_context("x-a:one").with_context("x-a:two");
    match asked {
        Event::List => session.list(&[("disk", "words"), ("", "")]),
        Event::LookUp { name, .. } if name == "missing" => session.refuse(ReplyType::ERR_UNKNOWN, "no such export"),
        Event::LookUp { name, .. } if name == "secret" => session.offer(&offer.with_tls_required(true)),
        Event::LookUp { name, .. } if name == "wordy" => {
            session.offer(&offer.with_block_sizes(SIZES).with_canonical_name("disk").with_description("words"))
        }
        Event::LookUp { .. } => session.offer(&offer),
    }
    .unwrap();
}

pub(crate) fn any_pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..4_usize, 1..40_usize, 1..20_000_usize], 1..20)
}

fn any_settings() -> impl Strategy<Value = ServerHandshakeSettings> {
    let style = prop_oneof![
        8 => Just(HandshakeStyle::FixedNewstyle),
        1 => Just(HandshakeStyle::Newstyle),
        1 => Just(HandshakeStyle::Oldstyle),
    ];
    let tls = select(&[ServerTls::Off, ServerTls::Offered, ServerTls::Required][..]);
    let limits = (prop_oneof![1 => 0..8_u32, 4 => Just(65_536)], prop_oneof![1 => 0..64_u32, 4 => Just(1 << 20)]);
    (style, tls, any::<[bool; 3]>(), limits).prop_map(|(style, tls, [one, two, three], (options, skipped))| {
        ServerHandshakeSettings::default()
            .with_style(style)
            .with_tls(tls)
            .with_no_zeroes(one)
            .with_structured_replies(two || three)
            .with_extended_headers(three)
            .with_limits(ServerHandshakeLimits::default().with_options(options).with_skipped_payload(skipped))
    })
}

fn any_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("disk"), 1 => select(&["", "missing", "secret", "wordy"][..])]
}

fn any_agreement() -> impl Strategy<Value = Vec<u8>> {
    select(&[OptionRequest::StructuredReply, OptionRequest::ExtendedHeaders][..])
        .prop_map(|request| bytes::option(&request))
}

/// One option, most of the time well formed, that does not end the haggling.
fn any_option() -> impl Strategy<Value = Vec<u8>> {
    let infos = vec((0..5_u16).prop_map(InfoType), 0..4);
    let query = prop_oneof![
        8 => select(&["base:allocation", "base:", "x-a:", "x-a:one", "nobody:knows"][..]),
        1 => select(&["none", ":"][..]),
    ];
    let well_formed = prop_oneof![
        3 => any_agreement(),
        2 => Just(bytes::option(&OptionRequest::List)),
        3 => (any_name(), infos).prop_map(|(name, infos)| bytes::option(&bytes::info(name, &infos))),
        8 => (any::<bool>(), any_name(), vec(query, 0..4)).prop_map(|(set, name, queries)| {
            let make = if set { bytes::set_contexts } else { bytes::list_contexts };
            bytes::option(&make(name, &queries))
        }),
    ];
    let payload = prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => (0..20_000_usize).prop_map(|length| vec![0; length])];
    let malformed = (0..14_u32, payload).prop_map(|(option, payload)| bytes::raw(OptionCode(option), &payload));
    prop_oneof![16 => well_formed, 1 => malformed]
}

/// The last options of a phase, and nonsense behind it.
fn any_last(starttls: u32) -> impl Strategy<Value = Vec<u8>> {
    let request = prop_oneof![
        starttls => Just(bytes::option(&OptionRequest::StartTls)),
        1 => Just(bytes::option(&OptionRequest::Abort)),
        2 => any_name().prop_map(|name| bytes::option(&OptionRequest::ExportName(name))),
        3 => Just([bytes::set_contexts("disk", &["x-a:one"]), bytes::go("disk", &[])])
            .prop_map(|two| two.map(|request| bytes::option(&request)).concat()),
        6 => any_name().prop_map(|name| bytes::option(&bytes::go(name, &[InfoType::NAME, InfoType::BLOCK_SIZE]))),
    ];
    let behind = prop_oneof![8 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..20)];
    (request, behind).prop_map(|pair| <[_; 2]>::from(pair).concat())
}

pub(crate) fn any_client() -> impl Strategy<Value = Client> {
    let flags = prop_oneof![8 => Just(None), 1 => (0..5_u32).prop_map(Some)];
    // Little can be asked before replies in chunks are agreed.
    let agree = || prop_oneof![Just(Vec::new()), any_agreement(), any_agreement()];
    let options = || (agree(), vec(any_option(), 0..6)).prop_map(|(agree, more)| [agree, more.concat()].concat());
    let clear = (options(), any_last(5)).prop_map(|pair| <[_; 2]>::from(pair).concat());
    let tls = (options(), any_last(1)).prop_map(|pair| <[_; 2]>::from(pair).concat());
    (any_settings(), flags, clear, tls).prop_map(|(settings, flags, clear, tls)| {
        // What the server offers, most of the time.
        let fixed = settings.style == HandshakeStyle::FixedNewstyle;
        let offered = u32::from(fixed) | u32::from(settings.no_zeroes) << 1;
        let clear = [bytes::client_flags(flags.unwrap_or(offered)), clear].concat();
        Client { settings, clear, tls }
    })
}
